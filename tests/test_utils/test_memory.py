"""Freed tensors leave the process."""

import platform
import subprocess
import sys

import pytest

# Every second of many 8 MB blocks is freed; what is resident afterwards is printed.
PROGRAM = """
import ctypes, sys
sys.path.insert(0, {folder!r})
from memory import return_freed_memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
size = 8_000_000
warm = libc.malloc(4 * size)
libc.free(warm)  # glibc raises its threshold to this size
if {called}:
    assert return_freed_memory()
blocks = [libc.malloc(size) for _ in range(20)]
for block in blocks:
    ctypes.memset(block, 1, size)
for block in blocks[::2]:
    libc.free(block)
print(resident() / size)
"""


def resident_blocks(called):
    from mmtaformer.utils import memory

    folder = memory.__file__.rpartition("/")[0]
    program = PROGRAM.format(folder=folder, called=called)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not glibc")
def test_freed_blocks_are_returned():
    kept, returned = resident_blocks(False), resident_blocks(True)
    assert kept > 18
    assert returned < 14


def test_elsewhere_nothing_is_done(monkeypatch):
    from mmtaformer.utils.memory import return_freed_memory

    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert return_freed_memory() is False
