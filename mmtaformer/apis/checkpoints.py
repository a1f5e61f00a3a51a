"""Reading of weights, whatever file they are in."""

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from mmtaformer.utils.checkpoint import (
    allow_checkpoint_globals,
    forbid_arbitrary_pickles,
)
from mmtaformer.utils.errors import DataError


def read_weights(
    path: str | os.PathLike[str],
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read the weights of a checkpoint, and what it says about itself.

    Args:
        path: A ``.pth`` of mmengine or a ``.safetensors``, or an address of one.

    Returns:
        The state dict, float32, and the checkpoint's ``meta``.

    Raises:
        FileNotFoundError: If there is no such file.
        DataError: If it is no checkpoint.
    """
    if "://" not in str(path) and not Path(path).is_file():
        raise FileNotFoundError(f"There is no checkpoint {path}; check the path.")
    content = _read(str(path))
    state = content.get("state_dict", content)
    state = {key.removeprefix("module."): value for key, value in state.items()}
    if not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise DataError(f"{path} is no checkpoint: its state dict is not of tensors.")
    floats = {
        key: value.float() if value.is_floating_point() else value
        for key, value in state.items()
    }
    return floats, dict(content.get("meta", {}))


def _read(path: str) -> dict[str, Any]:
    from mmengine.runner import CheckpointLoader

    allow_checkpoint_globals()
    forbid_arbitrary_pickles()
    try:
        return CheckpointLoader.load_checkpoint(path, map_location="cpu")
    except (pickle.UnpicklingError, EOFError, KeyError, RuntimeError) as error:
        raise DataError(
            f"{path} cannot be read as a checkpoint; is it whole?"
        ) from error
