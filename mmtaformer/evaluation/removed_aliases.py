"""Lets code that was written for old versions of NumPy run with new ones."""

from types import ModuleType
from typing import Any

import numpy as np


class _NumPyWithAliases:
    """NumPy with the alias of a builtin that it removed in version 1.24."""

    float = float

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


def restore_numpy_aliases(module: ModuleType) -> None:
    """Give a module that has imported NumPy as ``np`` back its ``np.float``.

    NumPy itself, and what other modules see of it, stay as they are.

    Args:
        module: The module, whose ``np`` is replaced.
    """
    module.np = _NumPyWithAliases()  # type: ignore[attr-defined]
