"""How the C library keeps memory on the CPU."""

import ctypes
import os
import platform

# Parameters of mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST = 2**31 - 1  # 2 GiB: it takes an int
_CHOSEN_BY_USER = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "LD_PRELOAD")


def keep_freed_memory() -> bool:
    """Let this process keep up to 2 GiB of freed memory, for the next tensors.

    glibc gives the memory of every large tensor back to the system when it is freed,
    and the next tensor gets it page by page again, which takes a fifth of the time of
    prediction on the CPU. Nothing is done under another C library, or where the
    environment chooses an allocator or its thresholds.

    Returns:
        Whether the process keeps it now.
    """
    if platform.libc_ver()[0] != "glibc" or any(map(os.environ.get, _CHOSEN_BY_USER)):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(mallopt(which, _LARGEST) for which in (_MMAP_THRESHOLD, _TRIM_THRESHOLD))
