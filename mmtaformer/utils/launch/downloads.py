"""Weights that a config names by their address are fetched before anything else."""

import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlparse

import mmengine
import torch.hub
from mmengine.config import Config
from mmengine.fileio import load

from ..errors import UsageError
from .sections import sections

_TIME_LIMIT = 20  # seconds without an answer


def fetch_weights(cfg: Config, of_parts: bool = True) -> None:
    """Download the weights that a run starts from, unless they are there already.

    mmengine would do it after the data were loaded, and end in a traceback. Here they
    go to the folder where it looks for them. The first process of each machine does it;
    the others wait for it when they join.

    Args:
        cfg: The whole config, with ``load_from``.
        of_parts: Whether to fetch those that ``init_cfg`` of the model's parts names,
            too. Testing does not need them.

    Raises:
        UsageError: In one sentence, what could not be downloaded, where a copy of the
            file would be found, and which option names another file.
    """
    if os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0")) != "0":
        return
    named = [
        (f"{where}.checkpoint", section["checkpoint"])
        for where, section in sections(cfg.model, "model")
        if of_parts and section.get("type") == "Pretrained"
    ]
    if cfg.get("load_from"):
        named.append(("load_from", cfg.load_from))
    for key, address in named:
        address = _without_torchvision(key, address)
        if address.startswith(("http://", "https://")):
            _fetch(key, address)


def _without_torchvision(key: str, address: str) -> str:
    """Refuse mmengine's ``torchvision://NAME`` where torchvision is not installed."""
    scheme, _, name = address.partition("://")
    if scheme != "torchvision" or find_spec("torchvision") is not None:
        return address
    table = load(Path(mmengine.__path__[0], "hub", "torchvision_0.12.json"))
    raise UsageError(
        f"{key}={address} needs torchvision, which is not installed; name the file "
        f"itself: {key}={table.get(name, 'https://...')}"
    )


def _fetch(key: str, address: str) -> None:
    name = os.path.basename(urlparse(address).path)
    path = Path(torch.hub.get_dir(), "checkpoints", name)
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    sha256 = re.search(r"-([a-f0-9]{8,})\.", name)
    print(f"Downloading {address} to {path}", flush=True)
    try:
        with _time_limit():
            torch.hub.download_url_to_file(
                address, str(path), sha256 and sha256[1], progress=os.isatty(2)
            )
    except (OSError, RuntimeError) as error:
        part = key.removesuffix(".checkpoint")
        without = f", or {part}=None to start without them" if part != key else ""
        raise UsageError(
            f"The weights {address} could not be downloaded ({error}): put the file at "
            f"{path}, or give --cfg-options {key}=FILE{without}."
        ) from error


@contextmanager
def _time_limit() -> Iterator[None]:
    """Give up on a network that does not answer; urllib would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIME_LIMIT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
