"""Which checkpoint of a folder a run can go on from."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

# Written where a run was told to stop; see AtomicCheckpointHook.
INTERRUPTED = "interrupted.pth"


def find_checkpoint_to_resume(
    work_dir: str | Path, pattern: str | None = None
) -> Path | None:
    """Find the checkpoint that a run in this folder goes on from.

    That is the one which ``last_checkpoint`` names, if it is whole, and the newest
    whole one otherwise. Checkpoints of the best score do not count, as they have no
    optimizer.

    Args:
        work_dir: Folder with ``last_checkpoint``.
        pattern: Names of checkpoints, with ``*``; None for those of mmengine.

    Returns:
        Its path; None if the folder has no whole one.
    """
    named = named_checkpoint(work_dir)
    if named is not None and is_whole(named):
        return named
    folder = Path(work_dir) if named is None else named.parent
    return next(filter(is_whole, _newest_first(folder, pattern)), None)


def named_checkpoint(work_dir: str | Path) -> Path | None:
    """Read which checkpoint ``last_checkpoint`` names.

    Args:
        work_dir: Folder with ``last_checkpoint``.

    Returns:
        Its path, whether there is such a file or not; None if a crash left no path.
    """
    path = Path(work_dir, "last_checkpoint")
    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None
    if not text or "\0" in text:
        return None
    named = Path(text)
    # A folder that was moved or copied takes its checkpoints along.
    return named if named.exists() else path.with_name(named.name)


def is_whole(path: Path) -> bool:
    """Return whether a checkpoint was written to its end and not damaged since.

    Args:
        path: A file of ``torch.save``, or a folder of sharded ones, which is not read.
    """
    if path.is_dir():
        return True
    try:
        with zipfile.ZipFile(path) as file:
            return file.testzip() is None
    except (OSError, zipfile.BadZipFile, ValueError, EOFError, NotImplementedError):
        return False


def _newest_first(folder: Path, pattern: str | None) -> Iterator[Path]:
    patterns = [pattern] if pattern else ["epoch_*.pth", "iter_*.pth"]
    found = {path for p in (*patterns, INTERRUPTED) for path in folder.glob(p)}
    yield from sorted(found, key=lambda p: (p.stat().st_mtime_ns, p.name), reverse=True)
