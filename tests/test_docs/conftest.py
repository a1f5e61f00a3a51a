from pathlib import Path
from unittest import mock

import pytest
from mmdet.utils import register_all_modules

import mmtaformer  # noqa: F401

from .checkout import Checkout


@pytest.fixture(scope="package", autouse=True)
def _mmdet_scope():
    register_all_modules(init_default_scope=True)


@pytest.fixture(scope="package", autouse=True)
def _plain_configs():
    """Configs are written without line breaks, which would take most of the time."""
    with mock.patch("yapf.yapflib.yapf_api.FormatCode", lambda text, **_: (text, True)):
        yield


@pytest.fixture(scope="package")
def shared_checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return Checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture
def checkout(shared_checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    """The shared clone as working directory; what is missing in it is made."""
    monkeypatch.chdir(shared_checkout.root)
    assert Path("pyproject.toml").is_file()
    return shared_checkout
