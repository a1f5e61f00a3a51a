"""Checkpoints are read without running code that someone may have put in them.

Importing this module makes mmengine read every checkpoint through
:func:`load_checkpoint_file`: ``load_from``, ``--resume``, ``init_cfg`` and inference.
"""

import errno
import json
import os
import pickle
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from mmengine.dist import barrier, get_dist_info
from mmengine.runner import CheckpointLoader
from mmengine.runner.checkpoint import (
    _process_mmcls_checkpoint,
    get_external_models,
    get_mmcls_models,
    get_torchvision_models,
)
from safetensors import SafetensorError, safe_open

from .errors import DataError, UsageError
from .safe_unpickling import UnsafeContentError, stand_ins, to_plain_values

# What a checkpoint holds beside other things, and what it must be.
_PARAMETERS = ("state_dict", "ema_state_dict")
_MAPPINGS = ("meta", "message_hub")
# Errors of reading that say nothing about the file.
_OF_THE_DISK = (errno.EIO, errno.EACCES, errno.EPERM, errno.ENOENT)


def load_checkpoint_file(
    path: str | os.PathLike[str], map_location: Any = "cpu"
) -> dict[str, Any]:
    """Read a checkpoint that may come from anybody.

    Nothing in the file is run. What is returned holds tensors, containers, numbers and
    texts, and histories of logged numbers. Functions that mmengine's schedulers save
    are left out: a scheduler keeps those of the config.

    Args:
        path: A file of ``torch.save``, or one that ends with ``.safetensors``.
        map_location: Where the tensors go; see ``torch.load``.

    Returns:
        The content. Of safetensors, the parameters are under ``state_dict`` and their
        description under ``meta``.

    Raises:
        FileNotFoundError: If there is no such file.
        DataError: If it is no checkpoint, is cut short, or holds anything else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no checkpoint {path} (looked from {Path.cwd()}); check the path."
        )
    if path.suffix == ".safetensors":
        content = _read_safetensors(path, map_location)
    else:
        content = _read_pickle(path, map_location)
    _check_structure(content, path)
    # mmengine's Runner.resume runs this text, which mmcv 1.x saved, as Python.
    content.get("meta", {}).pop("config", None)
    return content


def _read_pickle(path: Path, map_location: Any) -> dict[str, Any]:
    try:
        with stand_ins():
            content = torch.load(path, map_location, weights_only=True)
        return to_plain_values(content)
    except UnsafeContentError as error:
        raise DataError(_refusal(path, str(error))) from error
    except Exception as error:  # a broken file can fail in any instruction
        if isinstance(error, MemoryError) or getattr(error, "errno", 0) in _OF_THE_DISK:
            raise
        name = re.search(r"(?:GLOBAL|function) (\S+)", str(error))
        if isinstance(error, pickle.UnpicklingError) and name is not None:
            raise DataError(_refusal(path, name[1])) from error
        raise DataError(
            f"{path} cannot be read as a PyTorch checkpoint. Is the download complete? "
            "(A file of a few kilobytes is often the web page in front of it.)"
        ) from error


def _refusal(path: Path, what: str) -> str:
    return (
        f"{path} holds {what}, which no checkpoint needs and which could run code, so "
        "it is not read. If you trust its source, load it there and save its "
        "parameters alone: torch.save({'state_dict': model.state_dict()}, ...)."
    )


def _read_safetensors(path: Path, map_location: Any) -> dict[str, Any]:
    on_device = isinstance(map_location, str | torch.device)
    device = str(map_location) if on_device else "cpu"
    try:
        with safe_open(path, framework="pt", device=device) as file:
            names = file.keys()
            state_dict = {name: file.get_tensor(name) for name in names}
            texts = file.metadata() or {}
    except SafetensorError as error:
        raise DataError(
            f"{path} cannot be read as safetensors ({error}). Is the download complete?"
        ) from error
    return {"state_dict": state_dict, "meta": _describe(texts, path)}


def _describe(texts: dict[str, str], path: Path) -> dict[str, Any]:
    """``meta`` as mmdet expects it, from the metadata of published weights."""
    meta: dict[str, Any] = {key: texts[key] for key in ("cfg", "name") if key in texts}
    try:
        if "classes" in texts:
            classes = tuple(str(name) for name in json.loads(texts["classes"]))
            meta["dataset_meta"] = {"classes": classes}
        if "metrics" in texts:
            meta["metrics"] = dict(json.loads(texts["metrics"]))
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"{path} has classes or metrics that are no JSON.") from error
    return meta


def _check_structure(content: Any, path: Path) -> None:
    """Check what mmengine takes for granted.

    Raises:
        DataError: If there are no parameters, or one of the parts is something else.
    """
    if not isinstance(content, dict):
        raise DataError(
            f"{path} holds a {type(content).__name__}, but a checkpoint is a "
            "dictionary with the parameters under 'state_dict' or 'model'."
        )
    for key in _PARAMETERS:
        if key in content:
            _check_parameters(content[key], f"{path} under {key!r}")
    for key in _MAPPINGS:
        if not isinstance(content.get(key, {}), dict):
            raise DataError(
                f"{path} holds a {type(content[key]).__name__} under {key!r}, where "
                "checkpoints have a dictionary."
            )
    for key in ("epoch", "iter"):
        value = content.get("meta", {}).get(key, 0)
        if type(value) is not int or value < 0:
            raise DataError(f"{path} has {value!r} as {key!r}, which is no count.")


def _check_parameters(parameters: Any, where: str) -> None:
    if not isinstance(parameters, dict):
        raise DataError(
            f"{where} holds a {type(parameters).__name__}, but parameters are a "
            "dictionary of tensors."
        )
    for name, value in parameters.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise DataError(
                f"{where} holds {name!r}, which is a {type(value).__name__}; "
                "parameters are tensors by name."
            )


# mmengine logs the name of a loader without its first ten letters.
@CheckpointLoader.register_scheme(prefixes="", force=True)
def load_from_local(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Read a file for mmengine."""
    return load_checkpoint_file(os.path.expanduser(filename), map_location)


@CheckpointLoader.register_scheme(prefixes=("http://", "https://"), force=True)
def load_from_http(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Read an address for mmengine; what was downloaded before is kept."""
    folder = Path(torch.hub.get_dir(), "checkpoints")
    path = folder / Path(urlparse(filename).path).name
    rank, world_size = get_dist_info()
    if rank == 0:
        _download(filename, path)
    if world_size > 1:
        barrier()
        _download(filename, path)  # on machines that have no copy yet
    return load_checkpoint_file(path, map_location)


def _download(address: str, path: Path) -> None:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        # It appears under its name when it is complete.
        torch.hub.download_url_to_file(address, str(path), progress=os.isatty(0))


@CheckpointLoader.register_scheme(
    prefixes=("modelzoo://", "torchvision://"), force=True
)
def load_from_torchvision(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Read a model of torchvision for mmengine."""
    return load_from_http(_look_up(filename, get_torchvision_models()), map_location)


@CheckpointLoader.register_scheme(
    prefixes=("open-mmlab://", "openmmlab://"), force=True
)
def load_from_openmmlab(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Read a model of OpenMMLab's list for mmengine."""
    return load_from_http(_look_up(filename, get_external_models()), map_location)


@CheckpointLoader.register_scheme(prefixes="mmcls://", force=True)
def load_from_mmcls(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Read the backbone of a model of mmcls for mmengine."""
    address = _look_up(filename, get_mmcls_models())
    return _process_mmcls_checkpoint(load_from_http(address, map_location))


def _look_up(filename: str, addresses: dict[str, str]) -> str:
    scheme, _, name = filename.partition("://")
    if name not in addresses:
        raise UsageError(f"{scheme}:// knows no model {name!r}; check init_cfg.")
    return addresses[name]


@CheckpointLoader.register_scheme(
    prefixes=("pavi://", r"(\S+\:)?s3://", r"(\S+\:)?petrel://"), force=True
)
def load_from_elsewhere(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Refuse what mmengine reads with pickle, out of this module's control."""
    raise UsageError(
        f"Checkpoints are read from files and from http(s):// addresses; download "
        f"{filename} and name the file."
    )
