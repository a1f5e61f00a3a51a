"""Reading checkpoints of other code bases and writing this project's."""

import argparse
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmtaformer.utils import allow_checkpoint_globals
from mmtaformer.utils.errors import DataError
from mmtaformer.utils.files import atomic_path
from mmtaformer.version import __version__

# Where code bases keep the parameters; SeqFormer, VNext, Deformable DETR and Swin under
# the first, OpenMMLab under the second.
_KEYS = ("model", "state_dict")


def read_checkpoint(path: str | Path) -> tuple[dict[str, Tensor], list[str]]:
    """Read the parameters of a checkpoint without running code that is in it.

    Args:
        path: A file that ``torch.save`` wrote.

    Returns:
        tuple: The parameters, and the names of what else the file holds.

    Raises:
        FileNotFoundError: If there is no such file.
        DataError: If it is not such a file, holds objects other than tensors, numbers
            and options, or no parameters.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no checkpoint {path} (looked from {Path.cwd()}); check the path."
        )
    if path.suffix == ".pkl":
        raise DataError(
            f"{path} is a pickle, and reading one runs whatever code is in it. If you "
            "trust it, load it yourself and write its parameters as tensors with "
            f"torch.save({{'model': ...}}, '{path.with_suffix('.pth')}')."
        )
    content = _load(path)
    if not isinstance(content, Mapping):
        raise DataError(
            f"{path} holds a {type(content).__name__}, but a checkpoint is a "
            "dictionary with the parameters under 'model' or 'state_dict'."
        )
    for key in _KEYS:
        if isinstance(content.get(key), Mapping):
            others = [str(name) for name in content if name != key]
            return _parameters(content[key], f"{path} under '{key}'"), others
    return _parameters(content, str(path)), []


def _load(path: Path) -> Any:
    allow_checkpoint_globals()
    try:
        # Released checkpoints also hold the options of the training script.
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        unsafe = re.search(r"GLOBAL (\S+)", str(error))
        if unsafe is None:
            raise DataError(_not_a_checkpoint(path)) from error
        raise DataError(
            f"{path} holds objects that only its own code can read, such as "
            f"{unsafe[1]}. If you trust it, load it there and save its parameters "
            "alone: torch.save({'model': model.state_dict()}, ...)."
        ) from error
    except (EOFError, RuntimeError) as error:
        raise DataError(_not_a_checkpoint(path)) from error


def _not_a_checkpoint(path: Path) -> str:
    return (
        f"{path} cannot be read as a PyTorch checkpoint. Is the download complete? "
        "(A file of a few kilobytes is often the web page in front of it.)"
    )


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
