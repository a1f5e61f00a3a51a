"""Files that appear under their name only when they are complete."""

import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Folders that were looked through for what dead processes left.
_swept: set[Path] = set()


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path that becomes ``path`` when the block succeeds.

    The temporary file lies in the same folder, which is made if necessary, and
    has the same suffix. It is removed when the block raises. What a killed process
    left there is removed by the next one that writes into the folder.

    Args:
        path: The final name of the file.

    Yields:
        Where to write the file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent)
    folder = Path(tempfile.mkdtemp(prefix=_own_prefix(), dir=path.parent))
    partial = folder / path.name
    try:
        yield partial
        _flush(partial)
        os.replace(partial, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Remove temporary folders whose process is gone, once per folder and process.

    Those of other machines are left alone: their processes cannot be asked.

    Args:
        folder: Where :func:`atomic_path` writes.
    """
    if folder.resolve() in _swept:
        return
    _swept.add(folder.resolve())
    for entry in folder.glob(f"{_host_prefix()}*"):
        owner = re.fullmatch(r"(\d+)-\w+", entry.name.removeprefix(_host_prefix()))
        if owner is not None and not is_running(int(owner[1])):
            shutil.rmtree(entry, ignore_errors=True)


def is_running(pid: int) -> bool:
    """Return whether this machine has a process of this number.

    Args:
        pid: Number of the process.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # of another user
    return True


def _host_prefix() -> str:
    return f".partial-{socket.gethostname()[:40]}-"


def _own_prefix() -> str:
    return f"{_host_prefix()}{os.getpid()}-"


def _flush(path: Path) -> None:
    """Bring a file to the disk, so that no crash leaves its name with less in it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
