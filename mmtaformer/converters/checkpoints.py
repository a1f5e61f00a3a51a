"""Reading checkpoints of other code bases and writing this project's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmtaformer.utils.checkpoint import load_checkpoint_file
from mmtaformer.utils.errors import DataError
from mmtaformer.utils.files import atomic_path
from mmtaformer.version import __version__

# Where code bases keep the parameters; SeqFormer, VNext, Deformable DETR and Swin under
# the first, OpenMMLab under the second.
_KEYS = ("model", "state_dict")


def read_checkpoint(path: str | Path) -> tuple[dict[str, Tensor], list[str]]:
    """Read the parameters of a checkpoint without running code that is in it.

    Args:
        path: A file that ``torch.save`` wrote, or safetensors.

    Returns:
        tuple: The parameters, and the names of what else the file holds.

    Raises:
        FileNotFoundError: If there is no such file.
        DataError: If it is not such a file, holds objects other than tensors, numbers
            and options, or no parameters.
    """
    path = Path(path)
    if path.suffix == ".pkl":
        raise DataError(
            f"{path} is a pickle, and reading one runs whatever code is in it. If you "
            "trust it, load it yourself and write its parameters as tensors with "
            f"torch.save({{'model': ...}}, '{path.with_suffix('.pth')}')."
        )
    content = load_checkpoint_file(path)
    for key in _KEYS:
        if isinstance(content.get(key), Mapping):
            others = [str(name) for name in content if name != key]
            return _parameters(content[key], f"{path} under '{key}'"), others
    return _parameters(content, str(path)), []


def _parameters(content: Mapping[Any, Any], where: str) -> dict[str, Tensor]:
    """Check that a mapping is a state dict; wrappers' prefix is taken off."""
    strange = [key for key, value in content.items() if not isinstance(value, Tensor)]
    if strange or not content:
        found = f"'{strange[0]}', which is no tensor" if strange else "nothing"
        raise DataError(
            f"Expected {where} to hold parameters, but found {found}; a checkpoint has "
            "them under 'model' or 'state_dict'."
        )
    wrapped = all(name.startswith("module.") for name in content)
    return {
        name.removeprefix("module.") if wrapped else name: value
        for name, value in content.items()
    }


def write_checkpoint(
    path: str | Path, state_dict: Mapping[str, Tensor], **meta: Any
) -> None:
    """Write a checkpoint that mmengine's ``load_checkpoint`` accepts.

    The file appears under its name when it is complete.

    Args:
        path: Where to write it; folders are made.
        state_dict: Parameters under this project's names.
        **meta: Where they come from, for ``checkpoint['meta']``.
    """
    content = {
        "meta": {**meta, "mmtaformer_version": __version__},
        "state_dict": {name: value.contiguous() for name, value in state_dict.items()},
    }
    with atomic_path(path) as partial:
        torch.save(content, partial)
