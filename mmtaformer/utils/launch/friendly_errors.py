"""How a program ends: one sentence for a user's mistake, a traceback otherwise."""

import errno
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.dist import get_dist_info
from torch.distributed.elastic.multiprocessing.errors import get_error_handler

from ..errors import DataError, UsageError

INTERRUPTED = 130  # what a shell reports for a process ended by Ctrl-C

# A FloatingPointError is how training reports a loss that is not finite.
_FRIENDLY = (UsageError, DataError, FileNotFoundError, FloatingPointError)
_FULL_DISK = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def friendly_errors() -> Iterator[None]:
    """End the program with one sentence where a user can put things right.

    That is what was raised as :class:`UsageError` or :class:`DataError`, a missing
    file, a loss that is not finite and a full disk. Every other error is a mistake of
    the program and keeps its traceback.

    In a distributed run the launcher ends the other processes. What went wrong first,
    and where, is in the summary that torchrun closes with.
    """
    try:
        yield
    except Exception as error:
        _tell_launcher(error)
        sentence = _sentence(error)
        if sentence is None:
            raise
        rank, world_size = get_dist_info()
        where = f"process {rank} of {world_size}: " if world_size > 1 else ""
        sys.exit(f"error: {where}{sentence}")
    except KeyboardInterrupt:
        print(
            "\nInterrupted. The checkpoints saved so far are kept; train on with "
            "--resume.",
            file=sys.stderr,
        )
        sys.exit(INTERRUPTED)


def _sentence(error: Exception) -> str | None:
    """Say what a user can do about an error, None if it is not a user's affair."""
    if isinstance(error, OSError) and error.errno in _FULL_DISK:
        where = f" while {error.filename} was written" if error.filename else ""
        return (
            f"The disk is full{where}. Make space and start again; a training goes on "
            "with --resume."
        )
    return str(error) if isinstance(error, _FRIENDLY) else None


def _tell_launcher(error: Exception) -> None:
    """Put an error into the summary that torchrun closes with.

    torchrun takes the first error for the cause, by whole seconds. The other processes
    fail as soon as they miss this one, so it stays for longer than that.
    """
    get_error_handler().record_exception(error)
    if get_dist_info()[1] > 1:
        time.sleep(1)
