"""What the pickle of a checkpoint may build: values that can do nothing.

torch's ``weights_only`` reader builds the classes and calls the functions of an
allow-list. mmengine's checkpoints name a few more: the history of logged numbers, NumPy
arrays and scalars, and the curve of a one-cycle schedule. Allowing the real ones would
let a crafted file call them, so each is replaced by a stand-in that only keeps what it
is given. ``to_plain_values`` then turns stand-ins into values and refuses the rest.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer


class UnsafeContentError(Exception):
    """A checkpoint holds what none needs."""


class _StandIn:
    """Keeps the arguments and the state that a pickle gives to an object."""

    def __init__(self, *args: Any) -> None:
        self.args = args
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _History(_StandIn):
    """Stands in for mmengine's HistoryBuffer."""


class _Schedule(_StandIn):
    """Stands in for the class of one-cycle schedules."""


class _Array(_StandIn):
    """Stands in for numpy.ndarray."""


class _Dtype(_StandIn):
    """Stands in for numpy.dtype."""


class _Scalar(_StandIn):
    """Stands in for a NumPy number."""


class _Options(_StandIn):
    """Stands in for argparse.Namespace, the options in released checkpoints."""


class _KnownFunction:
    """Marks where a checkpoint names a function; what is read does not hold it."""


# Pickle protocol 2, which torch writes, spells `HistoryBuffer.mean` as
# `getattr(HistoryBuffer, "mean")`.
_FUNCTIONS = {(_History, name) for name in ("current", "max", "mean", "min")} | {
    (_Schedule, name) for name in ("_annealing_cos", "_annealing_linear")
}


def _get_known_function(owner: Any, name: Any) -> _KnownFunction:
    """Stands in for ``getattr``."""
    if not isinstance(owner, type) or (owner, name) not in _FUNCTIONS:
        raise UnsafeContentError(f"getattr(..., {str(name)[:40]!r})")
    return _KnownFunction()


def _make_array(*args: Any) -> _Array:
    """Stands in for NumPy's ``_reconstruct``; shape and bytes come as its state."""
    return _Array(*args)


_ALLOWED: dict[str, Callable[..., Any]] = {
    "builtins.getattr": _get_known_function,
    "argparse.Namespace": _Options,
    "mmengine.logging.history_buffer.HistoryBuffer": _History,
    "mmengine.optim.scheduler.param_scheduler.OneCycleParamScheduler": _Schedule,
    "numpy.ndarray": _Array,
    "numpy.dtype": _Dtype,
    # NumPy 1 and 2 name the same functions differently.
    "numpy.core.multiarray._reconstruct": _make_array,
    "numpy._core.multiarray._reconstruct": _make_array,
    "numpy.core.multiarray.scalar": _Scalar,
    "numpy._core.multiarray.scalar": _Scalar,
}


@contextmanager
def stand_ins() -> Iterator[None]:
    """Let torch's reader build stand-ins, and nothing that others have allowed."""
    allowed_by_others = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(
        [(value, name) for name, value in _ALLOWED.items()]
    )
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(allowed_by_others)


_ATOMS = (
    type(None),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    bytearray,
    torch.Size,
    torch.dtype,
    torch.device,
)


def to_plain_values(content: Any) -> Any:
    """Copy what was read, with nothing in it but tensors, containers and atoms.

    Containers are new ones of the exact built-in types, so no attribute that a file
    put on them survives. Names of known functions are left out of dictionaries.

    Args:
        content: What torch's reader returned under :func:`stand_ins`.

    Returns:
        The same values; histories of numbers as ``HistoryBuffer``, arrays as NumPy's.

    Raises:
        UnsafeContentError: If there is anything else in it.
    """
    return _Copier().copy(content)


class _Copier:
    def __init__(self) -> None:
        # By identity: shared values stay shared, and small files stay small.
        self._done: dict[int, Any] = {}

    def copy(self, value: Any) -> Any:
        if type(value) in _ATOMS:
            return value
        if id(value) not in self._done:
            self._done[id(value)] = self._convert(value)
        return self._done[id(value)]

    def _convert(self, value: Any) -> Any:
        kind = type(value)
        if kind in (torch.Tensor, torch.nn.Parameter):
            return _plain_tensor(value)
        if kind in (list, tuple, set):
            return kind(self.copy(item) for item in value)
        if kind in (dict, OrderedDict, Counter):
            return self._copy_mapping(value)
        if kind is _History:
            return self._history(value)
        if kind is _Options:
            return self._copy_mapping(_state_dict(value))
        if kind is _Array:
            return _array(value)
        if kind is _Dtype:
            return _dtype(value)
        if kind is _Scalar:
            return _scalar(value)
        raise UnsafeContentError(f"a {kind.__name__.lstrip('_')}")

    def _copy_mapping(self, mapping: Any) -> Any:
        copied = type(mapping)()
        for key, value in dict.items(mapping):
            if type(value) is not _KnownFunction:
                copied[self.copy(key)] = self.copy(value)
        # Versions of the modules, which torch keeps on a state dict.
        metadata = getattr(mapping, "__dict__", {}).get("_metadata")
        if isinstance(metadata, dict):
            copied._metadata = self.copy(metadata)
        return copied

    def _history(self, value: _History) -> HistoryBuffer:
        state = _state_dict(value)
        try:
            log, count = (
                self.copy(state[name]) for name in ("_log_history", "_count_history")
            )
            history = HistoryBuffer([], [], int(state["max_length"]))
        except (KeyError, TypeError, ValueError) as error:
            raise UnsafeContentError("a broken HistoryBuffer") from error
        if not all(type(numbers) is np.ndarray for numbers in (log, count)):
            raise UnsafeContentError("a HistoryBuffer without numbers")
        history._log_history, history._count_history = log, count
        return history


def _plain_tensor(value: torch.Tensor) -> torch.Tensor:
    if value.layout is not torch.strided or value.is_quantized or value.is_nested:
        raise UnsafeContentError("a sparse, quantized or nested tensor")
    return value.detach()  # a new object, without attributes


def _state_dict(value: _StandIn) -> dict:
    if type(value.state) is not dict:
        raise UnsafeContentError(f"a broken {type(value).__name__.lstrip('_')}")
    return value.state


def _dtype(value: Any) -> np.dtype:
    """Numbers and booleans of NumPy; no objects, records or text."""
    if type(value) is not _Dtype or not value.args or type(value.args[0]) is not str:
        raise UnsafeContentError("a broken NumPy dtype")
    has_order = type(value.state) is tuple and len(value.state) > 1
    order: Any = value.state[1] if has_order else "="
    if value.args[0][:1] not in tuple("biufc") or order not in ("<", ">", "=", "|"):
        raise UnsafeContentError(f"a NumPy dtype {value.args[0]!r}")
    try:
        return np.dtype(value.args[0]).newbyteorder(order)
    except TypeError as error:
        raise UnsafeContentError(f"a NumPy dtype {value.args[0]!r}") from error


def _array(value: _Array) -> np.ndarray:
    try:
        _version, shape, dtype, is_fortran, data = value.state
        flat = np.frombuffer(data, _dtype(dtype)).copy()
        return flat.reshape(shape, order="F" if is_fortran else "C")
    except (TypeError, ValueError) as error:
        raise UnsafeContentError("a broken NumPy array") from error


def _scalar(value: _Scalar) -> np.generic:
    try:
        dtype, data = value.args
        (number,) = np.frombuffer(data, _dtype(dtype))
    except (TypeError, ValueError) as error:
        raise UnsafeContentError("a broken NumPy number") from error
    return number
