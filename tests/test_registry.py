"""What makes `mmtaformer::` in a config mean this package."""

from pathlib import Path

from mmengine.config.utils import MODULE2PACKAGE
from mmengine.utils import get_installed_path, is_installed

import mmtaformer


def test_mmengine_finds_the_package():
    """However it was installed: where the module is, its `.mim` is."""
    package = MODULE2PACKAGE["mmtaformer"]
    assert is_installed(package)
    assert Path(get_installed_path(package)) == Path(mmtaformer.__file__).parent
