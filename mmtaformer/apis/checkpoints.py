"""Reading of weights, whatever file they are in."""

import os
from typing import Any

import torch
from mmengine.runner import CheckpointLoader

# Makes mmengine read every file and address through load_checkpoint_file.
from mmtaformer.utils import checkpoint  # noqa: F401


def read_weights(
    path: str | os.PathLike[str],
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read the weights of a checkpoint, and what it says about itself.

    Args:
        path: A ``.pth`` of mmengine or a ``.safetensors``, or an address of one.

    Returns:
        The state dict and the checkpoint's ``meta``.

    Raises:
        FileNotFoundError: If there is no such file.
        DataError: If it is no checkpoint.
    """
    content = CheckpointLoader.load_checkpoint(str(path), map_location="cpu")
    state = content.get("state_dict", content)
    state = {key.removeprefix("module."): value for key, value in state.items()}
    return state, dict(content.get("meta", {}))
