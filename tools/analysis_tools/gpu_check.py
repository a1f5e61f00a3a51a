"""Check and measure this project on a GPU, in at most 8 minutes.

    python tools/analysis_tools/gpu_check.py [--what operator model tests]

Writes gpu_report.json and gpu_report.md. Every part runs in a process of its own; what
fails or runs out of time is said in the report and ends no other part. ``--what
operator`` needs torch and Triton alone: not even this package has to be installed.
"""

import argparse
import importlib
import json
import subprocess
import sys
import time
import types
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Part -> its function, and the most seconds that it takes.
PARTS = {
    "environment": ("suite_parts.environment", 30),
    "parity": ("operator_parts.parity", 60),
    "determinism": ("operator_parts.determinism", 30),
    "speed": ("operator_parts.speed", 90),
    "model": ("model_parts.model", 170),
    "memory": ("model_parts.memory", 60),
    "tests": ("suite_parts.tests", 90),
}
GROUPS = {
    "operator": ("parity", "determinism", "speed"),
    "model": ("model", "memory"),
    "tests": ("tests",),
}


def find_package() -> None:
    """Make ``mmtaformer.ops`` importable, without OpenMMLab's packages if need be.

    The package itself refuses to be imported without them, because all but its
    operators needs them. So what stands for it here is empty, and leads to its folder.
    """
    sys.path.insert(0, str(ROOT))
    if all(find_spec(name) for name in ("mmengine", "mmcv", "mmdet")):
        return
    for name in ("mmtaformer", "mmtaformer.utils"):
        package = types.ModuleType(name)
        package.__path__ = [str(ROOT / name.replace(".", "/"))]
        sys.modules[name] = package


def run_part(name: str, device: str, toy: bool) -> None:
    """Print the rows of a part, one JSON object a line, as they come."""
    find_package()
    module, _, function = PARTS[name][0].partition(".")
    part = getattr(importlib.import_module(f"gpu_parts.{module}"), function)
    for row in part(device, toy):
        print("\n" + json.dumps(dict(row=row)), flush=True)


def call_part(name: str, args: argparse.Namespace, seconds: float) -> dict:
    """Run a part in a process of its own.

    Returns:
        dict: ``rows`` that it came to, ``seconds``, and ``error`` if it did not end.
    """
    command = [sys.executable, __file__, "--part", name, "--device", args.device]
    command += ["--toy"] if args.toy else []
    start, error = time.perf_counter(), None
    try:
        result = subprocess.run(command, capture_output=True, timeout=max(seconds, 1))
        output = result.stdout
        if result.returncode:
            lines = result.stderr.decode(errors="replace").strip().splitlines()
            error = (lines or [f"exit status {result.returncode}"])[-1][:500]
    except subprocess.TimeoutExpired as expired:
        output = expired.stdout or b""
        error = f"stopped after {seconds:.0f} s; the rows it came to are whole"
    rows = []
    for line in output.decode(errors="replace").splitlines():
        if line.startswith('{"row": ') and line.endswith("}"):
            rows.append(json.loads(line)["row"])
    elapsed = time.perf_counter() - start
    return dict(rows=rows, seconds=round(elapsed, 1), error=error)


def as_markdown(report: dict) -> str:
    """The report as a page with one table for each part."""
    lines = ["# GPU report", "", f"Command: `{report['command']}`", ""]
    for name, part in report["parts"].items():
        lines += [f"## {name}", "", f"{part['seconds']} s"]
        if part["error"]:
            lines += ["", f"**Did not end: {part['error']}**"]
        lines += ["", *_table(part["rows"]), ""]
    return "\n".join(lines)


def _table(rows: list[dict]) -> list[str]:
    """Rows of one part; columns are the keys in the order of their first use."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    if not columns:
        return ["Nothing was measured."]
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for row in rows:
        cells = [_cell(row.get(column)) for column in columns]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return "" if value is None else str(value).replace("|", "\\|")


def failures(report: dict) -> list[str]:
    """Parts that did not end and rows that are not as they must be."""
    found = []
    for name, part in report["parts"].items():
        if part["error"]:
            found.append(f"{name}: {part['error']}")
        wrong = sum(row.get("ok") is False for row in part["rows"])
        if wrong:
            found.append(f"{name}: {wrong} of {len(part['rows'])} rows are not ok")
    return found


def write(path: Path, text: str) -> None:
    """Write a file that appears when it is complete."""
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--what", nargs="+", choices=GROUPS, default=list(GROUPS))
    add("--out", default=".", help="folder of the report (default: this one)")
    add("--device", default="cuda", help="cuda, cuda:1, ...")
    add("--minutes", type=float, default=8.0, help="the most it takes in all")
    add(
        "--toy",
        action="store_true",
        help="tiny sizes, to try the script; with --device cpu and TRITON_INTERPRET=1 "
        "no GPU is needed",
    )
    add("--part", choices=PARTS, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the parts and write the report.

    Returns:
        int: 0 if every part ended and is as it must be, else 1.
    """
    args = parse_args(argv)
    if args.part:
        run_part(args.part, args.device, args.toy)
        return 0
    command = " ".join(["gpu_check.py", *(sys.argv[1:] if argv is None else argv)])
    report: dict = dict(command=command, parts={})
    end = time.perf_counter() + 60 * args.minutes
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    for name in ("environment", *(part for what in args.what for part in GROUPS[what])):
        print(f"{name}: ", end="", flush=True)
        left = end - time.perf_counter()
        part = call_part(name, args, min(PARTS[name][1], left))
        report["parts"][name] = part
        print(f"{len(part['rows'])} rows, {part['seconds']} s", part["error"] or "")
        write(out / "gpu_report.json", json.dumps(report, indent=1))
        write(out / "gpu_report.md", as_markdown(report))
    found = failures(report)
    print(f"Report: {out / 'gpu_report.md'}")
    print("\n".join(found) if found else "Every part is as it must be.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
