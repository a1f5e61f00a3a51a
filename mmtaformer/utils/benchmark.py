"""Measuring time and peak memory of a piece of work."""

from __future__ import annotations

import re
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Measurement:
    """Median time of a call and the peak memory of the process that made it.

    Attributes:
        seconds: Median over the runs.
        memory_gb: On a CUDA device the most that torch had allocated, else the peak
            resident memory of the process; in 10^9 bytes.
    """

    seconds: float
    memory_gb: float


def peak_memory(device: torch.device) -> int:
    """Peak memory in bytes, see :class:`Measurement`."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    # Linux says it here; its getrusage counts what the parent held at the start, too.
    status = Path("/proc/self/status")
    text = status.read_text() if status.exists() else ""
    found = re.search(r"^VmHWM:\s*(\d+) kB$", text, re.M)
    if found:
        return int(found[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _time_on_cpu(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _time_on_cuda(work: Callable[[], object]) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    work()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1000


def measure(
    work: Callable[[], object],
    device: torch.device | str = "cpu",
    runs: int = 5,
    warmup: int = 1,
) -> Measurement:
    """Time a call over several runs, with CUDA events on a CUDA device.

    Args:
        work: What is measured.
        device: Where it computes.
        runs: Runs that count.
        warmup: Runs before them that do not.
    """
    device = torch.device(device)
    for _ in range(warmup):
        work()
    timer = _time_on_cuda if device.type == "cuda" else _time_on_cpu
    seconds = statistics.median(timer(work) for _ in range(runs))
    return Measurement(seconds, peak_memory(device) / 1e9)
