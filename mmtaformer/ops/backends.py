"""Which implementation computes deformable attention, chosen here and nowhere else.

========== ==================================== ===============================
name       what it is                           where, and in which dtypes
========== ==================================== ===============================
cpu        compiled loops                       CPU; float32, float64
triton     one fused kernel each way            CUDA devices of compute capability
                                                8.0 and later; float32, float16,
                                                bfloat16, not cast
mmcv       mmcv's kernel per relative frame     CUDA devices; float32, float64
grid_sample PyTorch's function per level        everywhere; float32, float64
========== ==================================== ===============================
"""

import difflib
import os
from importlib.util import find_spec

import torch
from torch import Tensor

from ..utils.errors import UsageError
from . import cpu_library

# Per type of device the backends from the most to the least wanted; the first one that
# can compute is taken. On CUDA devices mmcv's kernel leads until "triton" has been seen
# to be right and faster on a GPU, by tools/analysis_tools/gpu_check.py.
PREFERENCES = {
    "cpu": ("cpu", "grid_sample"),
    "cuda": ("mmcv", "triton", "grid_sample"),
}
BACKENDS = ("cpu", "triton", "mmcv", "grid_sample")
ENVIRONMENT_VARIABLE = "MMTAFORMER_ATTENTION_BACKEND"
_LEAST_CAPABILITY = (8, 0)

_configured: str | None = None


def set_attention_backend(name: str | None) -> None:
    """Name the backend of every deformable attention in this process.

    ``MMTAFORMER_ATTENTION_BACKEND`` in the environment counts more.

    Args:
        name: One of :data:`BACKENDS`, or None for the first of :data:`PREFERENCES`
            that can compute.

    Raises:
        UsageError: If there is no backend of that name.
    """
    global _configured
    if name is not None:
        _check_name(name, "attention_backend")
    _configured = name


def choose_backend(*tensors: Tensor) -> str:
    """The backend for the tensors of a call, all on one device.

    Raises:
        UsageError: If the environment or config names one that does not exist or
            cannot compute with these tensors.
    """
    is_double = any(tensor.dtype == torch.float64 for tensor in tensors)
    return _choose(tensors[0].device, is_double, _configured)


@torch.compiler.assume_constant_result
def _choose(device: torch.device, is_double: bool, configured: str | None) -> str:
    named, origin = os.environ.get(ENVIRONMENT_VARIABLE), ENVIRONMENT_VARIABLE
    if not named:
        named, origin = configured, "attention_backend"
    if named:
        _check_name(named, origin)
        problem = _obstacle(named, device, is_double)
        if problem is not None:
            raise UsageError(
                f"{origin} names backend '{named}', but {problem}; without the name "
                "the first backend that can compute is taken."
            )
        return named
    wanted = PREFERENCES.get(device.type, ("grid_sample",))
    return next(name for name in wanted if not _obstacle(name, device, is_double))


def _check_name(name: str, origin: str) -> None:
    if name in BACKENDS:
        return
    close = difflib.get_close_matches(name, BACKENDS, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"use {_listed(BACKENDS)}."
    raise UsageError(f"{origin} is '{name}', which is no attention backend; {hint}")


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"'{name}'" for name in names[:-1]) + f" or '{names[-1]}'"


def _obstacle(name: str, device: torch.device, is_double: bool) -> str | None:
    """Why a backend cannot compute, as a clause; None if it can."""
    if device.type == "meta":  # nothing is computed
        return None
    if name == "cpu":
        if device.type != "cpu":
            return f"the tensors are on {device}"
        return None if cpu_library.is_available() else "it could not be compiled"
    if name == "mmcv":
        return _obstacle_of_mmcv(device)
    if name == "triton":
        return _obstacle_of_triton(device, is_double)
    return None


def _obstacle_of_mmcv(device: torch.device) -> str | None:
    if device.type != "cuda":
        return f"mmcv's kernel computes on CUDA devices and the tensors are on {device}"
    if find_spec("mmcv") is None:
        return "mmcv is not installed"
    return None


def _obstacle_of_triton(device: torch.device, is_double: bool) -> str | None:
    if find_spec("triton") is None:
        return "Triton is not installed (pip install triton)"
    if is_double:
        return "it has no float64"
    if device.type == "cpu" and os.environ.get("TRITON_INTERPRET") == "1":
        return None
    if device.type != "cuda" or torch.version.cuda is None:
        return f"it computes on NVIDIA's GPUs and the tensors are on {device}"
    capability = torch.cuda.get_device_capability(device)
    if capability < _LEAST_CAPABILITY:
        return (
            f"{device} has compute capability {capability[0]}.{capability[1]} and it "
            "needs 8.0"
        )
    return None
