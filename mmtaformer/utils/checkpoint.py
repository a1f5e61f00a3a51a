"""Checkpoints are read without running code that someone may have put in them."""

import os
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler

# Functions that objects in a checkpoint refer to. Pickle protocol 2, which torch
# writes, spells `HistoryBuffer.mean` as `getattr(HistoryBuffer, "mean")`.
_METHODS = {
    HistoryBuffer: ("current", "max", "mean", "min"),
    OneCycleParamScheduler: ("_annealing_cos", "_annealing_linear"),
}


def _known_method(owner: Any, name: str) -> Any:
    """Stands in for `getattr` while a checkpoint is read."""
    if name not in _METHODS.get(owner, ()):
        raise ValueError(
            f"This checkpoint asks for attribute {name!r} of {owner!r}, which no "
            "checkpoint of mmengine needs; do not use it unless you trust its source."
        )
    return getattr(owner, name)


def allow_checkpoint_globals() -> None:
    """Allows what mmengine's checkpoints hold beside tensors and plain values.

    torch reads checkpoints with `weights_only=True`. mmengine 0.10.7 does not name the
    classes that it writes itself, and 0.10.12 forgets one. Allowed are the history of
    logged numbers, the NumPy arrays in it, and the curve of a one-cycle schedule.
    """
    core: Any = getattr(np, "_core", None) or np.core
    reconstruct, scalar = core.multiarray._reconstruct, core.multiarray.scalar
    torch.serialization.add_safe_globals(
        [
            *_METHODS,
            (_known_method, "builtins.getattr"),
            # NumPy 1 and 2 name the same functions differently.
            (reconstruct, "numpy.core.multiarray._reconstruct"),
            (reconstruct, "numpy._core.multiarray._reconstruct"),
            (scalar, "numpy.core.multiarray.scalar"),
            (scalar, "numpy._core.multiarray.scalar"),
            np.ndarray,
            np.dtype,
            *{type(np.dtype(kind)) for kind in "?bBhHiIlLqQefd"},
        ]
    )


def forbid_arbitrary_pickles() -> None:
    """Makes every `torch.load` of this process refuse what is not allow-listed.

    mmengine 0.10.12 falls back to unrestricted unpickling when a checkpoint holds
    something unknown. A user who trusts such a checkpoint sets the environment variable
    TORCH_FORCE_WEIGHTS_ONLY_LOAD=0.
    """
    os.environ.setdefault("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "1")
