"""Processes that belong together: a run and its work dir, a launcher and its ranks."""

import os
import signal
import socket
import threading
import time
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows, where nothing is locked
    fcntl = None  # type: ignore[assignment]

from .errors import UsageError

_LOCK = ".training_lock"
_GRACE = 60  # seconds that a process may take to save once its launcher is gone


def lock_work_dir(work_dir: str | Path) -> IO[str] | None:
    """Reserve a folder for this process, as long as the returned file stays open.

    The system gives the lock back when the process ends, however it ends.

    Args:
        work_dir: The folder.

    Returns:
        The locked file; None where the file system has no locks.

    Raises:
        UsageError: If another process has the folder, with its host and number.
    """
    if fcntl is None:
        return None
    file = Path(work_dir, _LOCK).open("a+")  # noqa: SIM115
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        file.seek(0)
        owner = file.read().strip() or "an unknown process"
        file.close()
        raise UsageError(
            f"Another training writes to {work_dir}: {owner}. Wait for it, end it, or "
            "give --work-dir another folder."
        ) from None
    except OSError:
        file.close()
        return None
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    file.flush()
    return file


def end_with_launcher(interval: float = 1) -> None:
    """Make a process that torchrun started end when torchrun is gone.

    torchrun ends its processes when it is told to end, but not when it is killed; they
    would go on unsupervised. They get SIGTERM then, as from torchrun itself, and are
    killed if they have not ended a minute later. POSIX only.

    Args:
        interval: Seconds between two looks.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ or os.name != "posix":
        return
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(interval)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_GRACE)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="end_with_launcher", daemon=True).start()
