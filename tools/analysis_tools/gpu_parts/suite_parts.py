"""The machine, and the tests of the suite that compute on a GPU."""

import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = (
    *("torch", "triton", "numpy"),
    *("onedl-mmcv", "onedl-mmengine", "onedl-mmdetection"),
    *("mmcv", "mmengine", "mmdet"),
)


def environment(device: str, toy: bool) -> Iterator[dict]:
    """Device, driver and versions."""
    yield dict(name="python", value=platform.python_version())
    yield dict(name="system", value=platform.platform())
    yield dict(name="CUDA of torch", value=torch.version.cuda or "none")
    for package in PACKAGES:
        try:
            yield dict(name=package, value=metadata.version(package))
        except metadata.PackageNotFoundError:
            continue
    if not device.startswith("cuda"):
        yield dict(name="device", value=device)
        return
    properties = torch.cuda.get_device_properties(device)
    yield dict(name="device", value=properties.name)
    yield dict(name="capability", value=f"{properties.major}.{properties.minor}")
    yield dict(name="memory, GB", value=round(properties.total_memory / 1e9, 1))
    yield dict(name="multiprocessors", value=properties.multi_processor_count)


def tests(device: str, toy: bool) -> Iterator[dict]:
    """The tests of the operator, which use the GPU where there is one."""
    path = "tests/test_ops" + ("/test_backends.py" if toy else "")
    command = [sys.executable, "-m", "pytest", path, "-q", "-p", "no:cacheprovider"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    for line in result.stdout.splitlines():
        if line.startswith(("FAILED", "ERROR")):
            yield dict(test=line.split(" - ")[0], ok=False)
    last = (result.stdout.strip().splitlines() or [result.stderr[-300:]])[-1]
    counts = {what: int(n) for n, what in re.findall(r"(\d+) (\w+)", last)}
    yield dict(test=path, summary=last.strip("= "), ok=result.returncode == 0, **counts)
