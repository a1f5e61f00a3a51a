"""NumPy as old code knows it, for one module."""

from types import ModuleType

import numpy as np

from mmtaformer.evaluation.removed_aliases import restore_numpy_aliases


def test_one_module_gets_the_alias_back():
    old = ModuleType("old")
    exec("import numpy as np\ndef whole(x): return x.astype(np.float)", vars(old))
    restore_numpy_aliases(old)
    converted = old.whole(np.arange(3, dtype=np.int8))
    assert converted.dtype == np.float64
    assert old.np.arange is np.arange
    assert not hasattr(np, "float")
