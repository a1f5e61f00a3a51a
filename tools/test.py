"""Test a checkpoint: evaluate its predictions, write them, draw them."""

import argparse
from collections.abc import Sequence
from pathlib import Path

# The package first: it says in one sentence what is missing to run it.
import mmtaformer  # noqa: F401

# isort: split
from mmengine.config import Config
from mmengine.device import get_device

from mmtaformer.utils.launch import (
    UsageError,
    add_common_arguments,
    build_runner,
    check_tested_weights,
    fetch_weights,
    friendly_errors,
    leave_process_group,
    load_config,
    require_file,
    warn_of_slow_bfloat16,
)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="config file")
    parser.add_argument("checkpoint", help="checkpoint file")
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="write the predictions: FILE.json in the format of YouTube-VIS, with the "
        "zip for a server beside it, or FILE.pkl with the data samples themselves",
    )
    parser.add_argument(
        "--show-dir", help="draw the predictions and write one video per clip there"
    )
    parser.add_argument(
        "--format-only",
        action="store_true",
        help="write the predictions without evaluating them, for test sets without "
        "public annotations (to WORK_DIR/results.json unless --out says where)",
    )
    parser.add_argument(
        "--amp",
        action="store_true",
        help="mixed precision: float16 on an accelerator, bfloat16 on the CPU",
    )
    parser.add_argument(
        "--score-thr", type=float, help="lowest score that --show-dir draws"
    )
    parser.add_argument(
        "--fps", type=float, help="frames per second of the videos of --show-dir"
    )
    parser.add_argument(
        "--num-videos", type=int, help="how many videos --show-dir draws, not all"
    )
    parser.add_argument(
        "--partial-weights",
        action="store_true",
        help="test although the checkpoint and the model differ in their parameters",
    )
    add_common_arguments(parser)
    args = parser.parse_args(argv)
    if args.out is not None and Path(args.out).suffix not in (".json", ".pkl"):
        parser.error(f"--out must end with .json or .pkl, but is {args.out}")
    for name in ("score_thr", "fps", "num_videos"):
        if getattr(args, name) is not None and args.show_dir is None:
            parser.error(f"--{name.replace('_', '-')} is about drawing: add --show-dir")
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Test as the command line says."""
    args = parse_args(argv)
    with friendly_errors():
        require_file(args.checkpoint, "checkpoint")
        cfg = load_config(args)
        cfg.load_from = args.checkpoint
        cfg.resume = False
        write_predictions(cfg, args.out, args.format_only)
        if args.show_dir is not None:
            draw_predictions(cfg, args)
        if args.amp:
            if get_device() == "cpu":
                warn_of_slow_bfloat16()
            cfg.test_cfg.fp16 = True
        fetch_weights(cfg, of_parts=False)
        runner = build_runner(cfg, args.local_rank)
        check_tested_weights(runner, args.partial_weights)
        runner.test()
        leave_process_group()


def write_predictions(cfg: Config, out: str | None, format_only: bool) -> None:
    """Make the metrics write what they evaluate, and where."""
    if out is not None and Path(out).suffix == ".pkl":
        # Bit masks of whole videos would not fit into memory.
        cfg.model.test_cfg.encode_masks = True
        dump = dict(type="DumpResults", out_file_path=out)
        cfg.test_evaluator = [*evaluators(cfg), dump]
        out = None
    if out is None and not format_only:
        return
    prefix = Path(out).with_suffix("") if out else Path(cfg.work_dir, "results")
    metrics = [e for e in evaluators(cfg) if e.type == "YTVISMetric"]
    if not metrics:
        raise UsageError(
            "--out FILE.json and --format-only need a YTVISMetric, and the "
            "test_evaluator of the config has none."
        )
    for metric in metrics:
        metric.outfile_prefix = str(prefix)
        metric.format_only = format_only


def evaluators(cfg: Config) -> list:
    """Return the config's metrics as a list, which is one of the ways to give them."""
    test_evaluator = cfg.test_evaluator
    return test_evaluator if isinstance(test_evaluator, list) else [test_evaluator]


def draw_predictions(cfg: Config, args: argparse.Namespace) -> None:
    """Write videos of the predictions, through the hook of the config if it has one.

    Args:
        cfg: The config that gets the hook's arguments.
        args: ``show_dir``, ``score_thr``, ``fps`` and ``num_videos``; what is None is
            left to the hook.
    """
    hooks = list(cfg.get("custom_hooks", []))
    drawing = [hook for hook in hooks if hook.type == "VideoVisualizationHook"]
    if not drawing:
        drawing = [dict(type="VideoVisualizationHook")]
        hooks += drawing
    given = dict(
        out_dir=args.show_dir,
        score_thr=args.score_thr,
        fps=args.fps,
        num_videos=args.num_videos,
    )
    for hook in drawing:
        hook.update({name: v for name, v in given.items() if v is not None})
    cfg.custom_hooks = hooks


if __name__ == "__main__":
    main()
