"""What a measurement counts."""

import subprocess
import sys
from unittest import mock

import pytest
import torch

from mmtaformer.utils import benchmark


def test_median_of_the_runs_that_count():
    clock = iter([0.0, 5.0, 10.0, 11.0, 20.0, 23.0])
    work = mock.Mock()
    with mock.patch.object(benchmark.time, "perf_counter", lambda: next(clock)):
        measured = benchmark.measure(work, runs=3, warmup=2)
    assert measured.seconds == 3.0
    assert work.call_count == 5


def test_peak_memory_is_that_of_the_process():
    program = (
        "from mmtaformer.utils.benchmark import measure;"
        "print(measure(lambda: b'x' * {}, runs=1, warmup=0).memory_gb)"
    )
    peaks = [
        float(
            subprocess.run(
                [sys.executable, "-W", "ignore", "-c", program.format(size)],
                capture_output=True,
                text=True,
                check=True,
            ).stdout.splitlines()[-1]
        )
        for size in (1_000_000_000, 2_000_000_000)
    ]
    assert peaks[1] - peaks[0] == pytest.approx(1.0, abs=0.1)


def test_cuda_events_and_allocated_memory():
    log = []

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            log.append("record")

        def synchronize(self):
            log.append("synchronize")

        def elapsed_time(self, end):
            assert log[-1] == "synchronize"
            return 250.0

    with (
        mock.patch.object(torch.cuda, "Event", Event),
        mock.patch.object(torch.cuda, "max_memory_allocated", lambda device: 3e9),
    ):
        measured = benchmark.measure(lambda: log.append("work"), "cuda", 1, warmup=0)
    assert log == ["record", "work", "record", "synchronize"]
    assert measured == benchmark.Measurement(seconds=pytest.approx(0.25), memory_gb=3.0)
