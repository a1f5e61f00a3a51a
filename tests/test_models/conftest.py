import pytest
from mmengine.registry import DefaultScope

import mmtaformer  # noqa: F401, registers what the tests build


@pytest.fixture(scope="package", autouse=True)
def mmdet_scope():
    """Resolve component names as the runner does."""
    with DefaultScope.overwrite_default_scope("mmdet"):
        yield
