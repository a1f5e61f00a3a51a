"""Memory of the process on the CPU."""

import ctypes
import platform

_M_MMAP_THRESHOLD = -3  # of glibc's malloc.h


def return_freed_memory(threshold: int = 2**22) -> bool:
    """Make glibc give freed tensors back to the system, instead of keeping the pages.

    By default it raises the size from which it does so to 32 MB as a program goes on,
    and what lies between tensors that are still in use is lost. That took a third of
    the memory of a training step, for no gain in speed.

    Args:
        threshold: From this size in bytes on.

    Returns:
        Whether this is glibc and it was done.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    return ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, threshold) == 1
