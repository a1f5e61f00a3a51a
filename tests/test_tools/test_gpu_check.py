"""The check for GPUs, on the CPU with Triton's interpreter and tiny sizes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..helpers.golden import REPO_ROOT

TOOL = REPO_ROOT / "tools/analysis_tools/gpu_check.py"
# Importing any of these fails, as where torch and Triton are all there is.
WITHOUT_STACK = """
import sys
from importlib.machinery import PathFinder

class Hidden(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        hidden = ("mmcv", "mmdet", "mmengine", "mmtaformer", "numba", "cv2", "scipy")
        if name in hidden and path is None:
            return None
        return PathFinder.find_spec(name, path, target)

sys.meta_path[:] = [
    finder
    for finder in sys.meta_path
    if finder is not PathFinder and "editable" not in str(finder).lower()
] + [Hidden]
"""


def check(out: Path, *arguments: str, **environment: str) -> tuple[dict, str, int]:
    """The report, what was printed, and the exit status."""
    command = [sys.executable, str(TOOL), "--device", "cpu", "--toy", *arguments]
    environment = dict(os.environ, TRITON_INTERPRET="1", **environment)
    result = subprocess.run(
        [*command, "--out", str(out)], env=environment, capture_output=True, text=True
    )
    report = json.loads((out / "gpu_report.json").read_text())
    assert (out / "gpu_report.md").read_text().startswith("# GPU report")
    return report, result.stdout + result.stderr, result.returncode


def test_operator_needs_torch_and_triton_alone(tmp_path):
    pytest.importorskip("triton")
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_STACK)
    report, printed, status = check(
        tmp_path / "out", "--what", "operator", PYTHONPATH=str(tmp_path)
    )
    parts = report["parts"]
    assert list(parts) == ["environment", "parity", "determinism", "speed"]
    assert not any(part["error"] for part in parts.values()), printed
    for row in parts["parity"]["rows"]:
        assert row["ok"], row
    assert {row["backend"] for row in parts["parity"]["rows"]} == {
        "triton",
        "grid_sample",
    }
    assert parts["determinism"]["rows"][0]["ok"]
    measured = [row for row in parts["speed"]["rows"] if "backend" in row]
    assert all(row["ms"] > 0 and row["limit_ms"] > 0 for row in measured), measured
    assert status == 0 and "Every part is as it must be." in printed


def test_model_and_memory_on_tiny_frames(tmp_path):
    report, printed, status = check(tmp_path, "--what", "model")
    rows = report["parts"]["model"]["rows"]
    assert [row["what"] for row in rows] == ["predict 2 frames", "train 1 x 2 frames"]
    assert all(row["seconds"] > 0 for row in rows), rows
    rows = report["parts"]["memory"]["rows"]
    assert all(row["computed_gb"] > 0 for row in rows), rows
    assert status == 0, printed


def test_a_part_that_fails_or_hangs_ends_no_other(load_tool, monkeypatch, tmp_path):
    tool = load_tool("analysis_tools/gpu_check.py")
    script = tmp_path / "parts.py"
    script.write_text(
        "import sys, time\n"
        "part = sys.argv[sys.argv.index('--part') + 1]\n"
        """print('{"row": {"name": "' + part + '"}}', flush=True)\n"""
        "if part == 'parity': raise RuntimeError('illegal memory access')\n"
        "if part == 'determinism': time.sleep(60)\n"
    )
    monkeypatch.setattr(tool, "__file__", str(script))
    monkeypatch.setitem(tool.PARTS, "determinism", ("", 2))
    out = tmp_path / "out"
    assert tool.main(["--what", "operator", "--out", str(out)]) == 1
    parts = json.loads((out / "gpu_report.json").read_text())["parts"]
    assert parts["parity"]["error"] == "RuntimeError: illegal memory access"
    assert parts["determinism"]["error"].startswith("stopped after 2 s")
    assert parts["speed"]["error"] is None
    assert all(part["rows"] for part in parts.values())
    page = (out / "gpu_report.md").read_text()
    assert "**Did not end: RuntimeError: illegal memory access**" in page


def test_report_names_what_is_wrong(load_tool):
    tool = load_tool("analysis_tools/gpu_check.py")
    rows = [dict(ok=True, x=1.23456), dict(ok=False, y="a|b")]
    part = dict(rows=rows, seconds=1.0, error=None)
    report = dict(command="gpu_check.py", parts=dict(parity=part))
    assert tool.failures(report) == ["parity: 1 of 2 rows are not ok"]
    assert "| ok | x | y |\n|---|---|---|\n| yes | 1.23 |  |" in tool.as_markdown(
        report
    )
