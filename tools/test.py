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
    add_common_arguments(parser)
    args = parser.parse_args(argv)
    if args.out is not None and Path(args.out).suffix not in (".json", ".pkl"):
        parser.error(f"--out must end with .json or .pkl, but is {args.out}")
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
            draw_predictions(cfg, args.show_dir)
        if args.amp:
            if get_device() == "cpu":
                warn_of_slow_bfloat16()
            cfg.test_cfg.fp16 = True
        build_runner(cfg, args.local_rank).test()
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


def draw_predictions(cfg: Config, out_dir: str) -> None:
    """Write videos of the predictions, through the hook of the config if it has one."""
    hooks = list(cfg.get("custom_hooks", []))
    drawing = [hook for hook in hooks if hook.type == "VideoVisualizationHook"]
    if not drawing:
        drawing = [dict(type="VideoVisualizationHook")]
        hooks += drawing
    for hook in drawing:
        hook["out_dir"] = out_dir
    cfg.custom_hooks = hooks


if __name__ == "__main__":
    main()
