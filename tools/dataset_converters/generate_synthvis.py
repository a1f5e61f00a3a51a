"""Generate SynthVIS, a data set of moving shapes in YouTube-VIS format.

Example::

    python tools/dataset_converters/generate_synthvis.py --out data/synthvis
    python tools/dataset_converters/generate_synthvis.py --out data/synthvis_deform \
        --difficulty deform --dropout-strength 0.8
"""

import argparse
import os
import sys
import time
from dataclasses import replace
from typing import Any

from mmtaformer.synthvis import (
    DIFFICULTIES,
    KINDS,
    Dropout,
    SplitOptions,
    is_written,
    write_synthvis,
)
from mmtaformer.utils.errors import DataError, UsageError

# What is generated unless options say otherwise: for these levels, and for the others.
_DEFAULTS = {
    "deform": dict(num_frames=24, size=(96, 64), num_train_videos=240),
    "identity": dict(num_frames=12, size=(96, 64), num_train_videos=480),
}
_OTHERS = dict(num_frames=12, size=(160, 96), num_train_videos=400)
# Of 160x96 pixels, per process; for the estimate alone.
_FRAMES_PER_SECOND = {
    "easy": 150,
    "medium": 75,
    "hard": 30,
    "deform": 50,
    "identity": 50,
}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line options."""
    parser = argparse.ArgumentParser(
        description="Generate SynthVIS, a data set of moving shapes in YouTube-VIS "
        "format. The same options give the same data, whatever --workers is.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--out", default="data/synthvis", help="folder of the data set")
    add("--splits", nargs="+", choices=("train", "val"), default=["train", "val"])
    add("--difficulty", choices=tuple(DIFFICULTIES), default="medium")
    by_level: dict[str, Any] = dict(type=int, default=argparse.SUPPRESS)
    add("--num-train-videos", **by_level, help=_by_level("num_train_videos"))
    add("--num-val-videos", type=int, default=60)
    add("--num-frames", **by_level, help=f"per video {_by_level('num_frames')}")
    size = f"in pixels {_by_level('size')}"
    add("--size", **by_level, nargs=2, metavar=("W", "H"), help=size)
    add("--seed", type=int, default=0)
    add("--workers", type=int, default=_num_cores(), help="processes")
    add("--overwrite", action="store_true", help="replace what exists")
    _add_dropout_arguments(parser)
    args = parser.parse_args(argv)
    for name, value in _DEFAULTS.get(args.difficulty, _OTHERS).items():
        setattr(args, name, getattr(args, name, value))
    return args


def _by_level(name: str) -> str:
    """What a default is, for the help."""
    levels = [f"{level}: {values[name]}" for level, values in _DEFAULTS.items()]
    return f"(default: {'; '.join([str(_OTHERS[name]), *levels])})"


def _add_dropout_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the levels that weaken objects in some frames."""
    add = parser.add_argument_group(
        "levels deform and identity",
        "Objects are weakened in some frames and annotated all the same.",
        argument_default=argparse.SUPPRESS,
    ).add_argument
    add("--dropout-strength", type=float, help="what is lost there, 0 to 1")
    add("--dropout-kind", choices=KINDS, help="how it is lost")
    for name, what in (("run", "frames in a row"), ("gap", "frames between")):
        add(f"--dropout-{name}", type=int, nargs=2, metavar=("MIN", "MAX"), help=what)


def _dropout(args: argparse.Namespace) -> Dropout | None:
    """The dropout that the options ask for; None if they leave the level's own."""
    prefix = "dropout_"
    given = {
        name.removeprefix(prefix): tuple(value) if isinstance(value, list) else value
        for name, value in vars(args).items()
        if name.startswith(prefix)
    }
    if not given:
        return None
    return replace(DIFFICULTIES[args.difficulty].dropout or Dropout(), **given)


def main(argv: list[str] | None = None) -> None:
    """Generate the splits that are not there yet."""
    args = parse_args(argv)
    dropout = _dropout(args)
    counts = {"train": args.num_train_videos, "val": args.num_val_videos}
    splits = [
        SplitOptions(
            split=split,
            num_videos=counts[split],
            num_frames=args.num_frames,
            size=tuple(args.size),
            seed=args.seed,
            difficulty=args.difficulty,
            dropout=dropout,
        )
        for split in args.splits
    ]
    # Look at all splits before the first is generated.
    written = [is_written(args.out, options, args.overwrite) for options in splits]
    for options, exists in zip(splits, written):
        if exists:
            print(
                f"{args.out}/{options.split}.json exists with these options: skipped."
            )
        else:
            _generate(args, options)


def _generate(args: argparse.Namespace, options: SplitOptions) -> None:
    width, height = options.size
    frames = options.num_videos * options.num_frames
    pixels = frames * width * height
    speed = _FRAMES_PER_SECOND[options.difficulty] * args.workers
    seconds = pixels / (160 * 96 * speed)
    print(
        f"Generating {args.out}/{options.split}: {options.num_videos} videos of "
        f"{options.num_frames} frames, {width}x{height} pixels, {options.difficulty}, "
        f"in {args.workers} processes; about {max(round(seconds), 1)} s.",
        flush=True,
    )
    start = time.perf_counter()
    path = write_synthvis(
        args.out,
        options.split,
        options.num_videos,
        options.num_frames,
        options.size,
        options.seed,
        options.difficulty,
        workers=args.workers,
        overwrite=args.overwrite,
        show_progress=True,
        dropout=options.dropout,
    )
    print(f"Wrote {path} in {time.perf_counter() - start:.1f} s.")


def _num_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


if __name__ == "__main__":
    try:
        main()
    except (DataError, UsageError) as error:
        sys.exit(f"Error: {error}")
