"""Evaluate a YouTube-VIS results file offline."""

import argparse
import json
import sys
from collections.abc import Sequence

from mmtaformer.evaluation import evaluate_ytvis, format_tables
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
        result = evaluate_ytvis(args.gt, args.results, args.max_dets)
    except (FileNotFoundError, DataError, UsageError) as error:
        sys.exit(f"error: {error}")
    print(format_tables(result))
    if args.json:
        with atomic_path(args.json) as partial:
            partial.write_text(json.dumps(result, indent=1) + "\n")
        print(f"All figures at full precision are in {args.json}.")


if __name__ == "__main__":
    main()
