import os
import platform
import subprocess
import sys

import pytest

COUNT_FAULTS = """
import resource, sys
import torch
from mmtaformer.utils.allocator import keep_freed_memory

kept = sys.argv[1] == "keep" and keep_freed_memory()
torch.ones(2**22)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(2**22)  # 16 MiB, more than glibc keeps by itself
    torch.ones(2**24)
after = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print(int(kept), after - before)
"""
on_glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="changes glibc's allocator"
)


def count_faults(choice, **environment):
    """Whether memory is kept, and how many pages the system had to hand out."""
    names = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "LD_PRELOAD")
    clean = {name: value for name, value in os.environ.items() if name not in names}
    result = subprocess.run(
        [sys.executable, "-c", COUNT_FAULTS, choice],
        env=clean | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    kept, faults = map(int, result.stdout.split())
    return bool(kept), faults


@on_glibc
def test_memory_is_used_again():
    _, faults = count_faults("leave")
    if faults < 10_000:
        pytest.skip("the system hands out large pages")
    kept, fewer = count_faults("keep")
    assert kept and fewer < faults / 5


@on_glibc
def test_the_choice_of_the_user_counts():
    assert not count_faults("keep", MALLOC_TRIM_THRESHOLD_="131072")[0]
