import pytest
from mmdet.utils import register_all_modules

import mmtaformer  # noqa: F401


@pytest.fixture(scope="package", autouse=True)
def _mmdet_scope():
    register_all_modules(init_default_scope=True)
