"""Attacks with thousands of variants, by hand; prints a table and what went wrong."""

import argparse
import tempfile
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from . import targets
from .damage import damaged_files
from .images import damaged_images, load_image
from .pool import run_cases
from .targets import CLEAN, RAW, RIGHT, STRICT, WRONG, Outcome

COLUMNS = (CLEAN, RIGHT, STRICT, RAW, WRONG, "hang", "crash")
GOOD = (CLEAN, RIGHT)


def attack(
    root: Path,
    num_annotations: int = 0,
    num_results: int = 0,
    num_images: int = 0,
    seed: int = 0,
    num_workers: int = 1,
    time_limit: float = 20,
) -> dict[str, list[Outcome]]:
    """Run all attacks.

    Args:
        root: An empty folder.
        num_annotations: How many damaged annotation files.
        num_results: How many damaged results files.
        num_images: How many damaged images at most.
        seed: Number of the first variant.
        num_workers: How many processes run at a time.
        time_limit: Seconds for one case.

    Returns:
        The outcomes for each target.
    """
    content, results = targets.write_base(root)
    annotations = list(damaged_files(content, num_annotations, seed))
    entries = list(damaged_files(results, num_results, seed))
    images = damaged_images()[:num_images]
    attacks: dict[str, tuple[Any, Sequence[Any]]] = {
        "annotations: data set": (targets.load_dataset, annotations),
        "annotations: evaluation": (targets.evaluate_against, annotations),
        "results: evaluation": (targets.evaluate_results, entries),
        "images: first frame": (partial(load_image, frame=0), images),
        "images: later frame": (partial(load_image, frame=2), images),
    }
    outcomes = {}
    for name, (function, cases) in attacks.items():
        ends = run_cases(partial(function, root), cases, time_limit, num_workers)
        outcomes[name] = [
            end if isinstance(end, Outcome) else Outcome(end.split()[0], case.what, end)
            for end, case in zip(ends, cases, strict=True)
        ]
    return outcomes


def table(outcomes: dict[str, list[Outcome]]) -> str:
    """The number of outcomes of each kind."""
    lines = [f"{'':26}" + "".join(f"{name:>24}" for name in COLUMNS)]
    for target, ends in outcomes.items():
        counts = Counter(end.kind for end in ends)
        lines.append(f"{target:26}" + "".join(f"{counts[n]:24}" for n in COLUMNS))
    return "\n".join(lines)


def main() -> None:
    """Run the attacks of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--annotations", type=int, default=1000)
    parser.add_argument("--results", type=int, default=300)
    parser.add_argument("--images", type=int, default=38)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        outcomes = attack(
            Path(root),
            args.annotations,
            args.results,
            args.images,
            args.seed,
            args.workers,
        )
    for target, ends in outcomes.items():
        for end in ends:
            if end.kind not in GOOD:
                print(f"{target}: {end.kind}: {end.what}: {end.detail}")
    print(table(outcomes))


if __name__ == "__main__":
    main()
