import pytest
from mmdet.utils import register_all_modules

import mmtaformer.datasets  # noqa: F401


@pytest.fixture(autouse=True)
def _mmdet_scope():
    register_all_modules(init_default_scope=True)
