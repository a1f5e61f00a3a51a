"""The Triton kernels compile for GPUs, where no GPU is."""

import json
import os
import subprocess
import sys

import pytest

from ..helpers.golden import REPO_ROOT

pytest.importorskip("triton")

# Compute capability -> shared memory that a block can have, in bytes, by the tables of
# the CUDA C++ Programming Guide (A100, H100, RTX 50).
SHARED_MEMORY = {80: 163 * 1024, 90: 227 * 1024, 120: 99 * 1024}
COLUMNS = ("capability", "kernel", "value", "channels", "relative_frames")


def test_compiles_without_spills_within_shared_memory():
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.helpers.triton_compile",
            *map(str, SHARED_MEMORY),
        ],
        cwd=REPO_ROOT,
        env=dict(os.environ, TRITON_INTERPRET="0", PYTHONPATH=str(REPO_ROOT)),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    rows = json.loads(result.stdout.splitlines()[-1])
    assert {row["capability"] for row in rows} == set(SHARED_MEMORY)
    for row in rows:
        print(row)
        assert row["spilled_bytes"] == 0, row
        assert row["shared_bytes"] <= SHARED_MEMORY[row["capability"]], row
