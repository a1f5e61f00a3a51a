"""Compute what perfect models could reach on the levels deform and identity.

Each of them knows no more than it is allowed to: its own frame, the nearest frame
that shows the object, and so on. A figure says something beside these ceilings only.

Example::

    python tools/analysis_tools/synthvis_ceilings.py data/synthvis_deform/val.json \
        --write
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mmtaformer.evaluation import (
    evaluate_ytvis,
    iou_by_visibility,
    load_ground_truth,
)
from mmtaformer.synthvis.ceilings import blank_share, ceiling_results
from mmtaformer.utils.errors import DataError
from mmtaformer.utils.files import atomic_path

FIGURES = ("AP", "AP50", "AP75", "IoU_drawn", "IoU_weakened")


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("gt", help="annotation file of a generated split")
    parser.add_argument(
        "--write",
        action="store_true",
        help="write ceilings.json beside the annotation file; eval_results.py prints "
        "it beside what it evaluates",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the ceilings of a split, and write them when asked."""
    args = parse_args(argv)
    try:
        ground_truth = load_ground_truth(args.gt)
        blank = blank_share(ground_truth)
        ceilings = {}
        for name, results in ceiling_results(ground_truth):
            figures = evaluate_ytvis(ground_truth, results)
            figures |= iou_by_visibility(ground_truth, results)
            ceilings[name] = {figure: figures[figure] for figure in FIGURES}
    except (FileNotFoundError, DataError) as error:
        sys.exit(f"error: {error}")
    table = Table("a perfect model that knows", *FIGURES)
    for name, figures in ceilings.items():
        table.add_row(name, *(_percent(figures[figure]) for figure in FIGURES))
    Console().print(table)
    print(f"Blank: {100 * blank:.1f} % of the annotated frames of objects.")
    if args.write:
        path = Path(args.gt).with_name("ceilings.json")
        content = {
            "annotation_file": Path(args.gt).name,
            "blank": blank,
            "ceilings": ceilings,
        }
        with atomic_path(path) as partial:
            partial.write_text(json.dumps(content, indent=1) + "\n")
        print(f"Wrote {path}.")


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


if __name__ == "__main__":
    main()
