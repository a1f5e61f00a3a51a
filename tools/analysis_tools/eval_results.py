"""Evaluate a YouTube-VIS results file offline."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmtaformer.evaluation import (
    evaluate_ytvis,
    format_tables,
    has_visibilities,
    iou_by_visibility,
    load_ground_truth,
)
from mmtaformer.synthvis.ceilings import read_ceilings
from mmtaformer.utils.errors import DataError, UsageError
from mmtaformer.utils.files import atomic_path


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("gt", help="ground truth in the official JSON format")
    parser.add_argument("results", help="results: JSON, or a submission zip")
    parser.add_argument("--json", metavar="OUT", help="write all figures to this file")
    parser.add_argument(
        "--max-dets",
        type=int,
        nargs="+",
        default=[1, 10, 100],
        help="instances per video that recall is computed at (default: 1 10 100)",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the twelve figures and the AP of every category."""
    args = parse_args(argv)
    try:
        ground_truth = load_ground_truth(args.gt)
        result = evaluate_ytvis(ground_truth, args.results, args.max_dets)
        by_visibility = {}
        if has_visibilities(ground_truth):
            by_visibility = iou_by_visibility(ground_truth, args.results)
    except (FileNotFoundError, DataError, UsageError) as error:
        sys.exit(f"error: {error}")
    print(format_tables(result))
    if by_visibility:
        result |= by_visibility
        print(format_by_visibility(by_visibility))
        print(format_ceilings(Path(args.gt)), end="")
    if args.json:
        with atomic_path(args.json) as partial:
            partial.write_text(json.dumps(result, indent=1) + "\n")
        print(f"All figures at full precision are in {args.json}.")


def format_by_visibility(result: Mapping[str, Any]) -> str:
    """Format the IoU in frames that show an object in full, and in the others."""
    parts = [
        f"{100 * result[f'IoU_{kind}']:.2f} where {kind} "
        f"({result[f'frames_{kind}']} frames)"
        for kind in ("drawn", "weakened")
        if result[f"IoU_{kind}"] is not None
    ]
    return f"Mean IoU in %: {', '.join(parts)}."


def format_ceilings(gt: Path) -> str:
    """Format the ceilings that synthvis_ceilings.py wrote beside the ground truth.

    The text is empty where there are none for this file.
    """
    ceilings = read_ceilings(gt)
    if not ceilings:
        return ""
    lines = ["Ceilings in %, AP and AP75 of a perfect model that knows:"]
    for name, figures in ceilings.items():
        lines.append(
            f"  {100 * figures['AP']:5.1f} {100 * figures['AP75']:5.1f}  {name}"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
