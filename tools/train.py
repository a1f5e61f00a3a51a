"""Train a model from a config."""

import argparse
from collections.abc import Sequence

# The package first: it says in one sentence what is missing to run it.
import mmtaformer  # noqa: F401

# isort: split
from mmengine.config import Config
from mmengine.device import get_device

from mmtaformer.utils.launch import (
    UsageError,
    add_common_arguments,
    build_runner,
    check_start,
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
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="CHECKPOINT",
        help="continue a run: from the given checkpoint, or from the last one in the "
        "work dir if none is given",
    )
    parser.add_argument(
        "--amp",
        action="store_true",
        help="mixed precision: float16 with loss scaling on an accelerator, bfloat16 "
        "on the CPU",
    )
    parser.add_argument(
        "--auto-scale-lr",
        action="store_true",
        help="scale the learning rate from the batch size the config was made for to "
        "the one of this run",
    )
    add_common_arguments(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Train as the command line says."""
    args = parse_args(argv)
    with friendly_errors():
        cfg = load_config(args)
        if args.amp:
            enable_amp(cfg)
        if args.auto_scale_lr:
            enable_lr_scaling(cfg)
        if args.resume is not None:
            resume_from(cfg, args.resume)
        fetch_weights(cfg)
        runner = build_runner(cfg, args.local_rank)
        check_start(runner)
        runner.train()
        leave_process_group()


def enable_amp(cfg: Config) -> None:
    """Train in the mixed precision that suits the device."""
    wrapper = cfg.optim_wrapper
    kind = wrapper.get("type", "OptimWrapper")
    if kind not in ("OptimWrapper", "AmpOptimWrapper", "BFloat16OptimWrapper"):
        raise UsageError(
            f"--amp replaces optim_wrapper.type 'OptimWrapper', but the config has "
            f"{kind!r}; set its precision in the config instead."
        )
    if get_device() == "cpu":
        warn_of_slow_bfloat16()
        wrapper.type = "BFloat16OptimWrapper"
        for key in ("loss_scale", "dtype", "use_fsdp"):  # of AmpOptimWrapper
            wrapper.pop(key, None)
    elif kind == "OptimWrapper":
        wrapper.type = "AmpOptimWrapper"
        wrapper.loss_scale = "dynamic"


def enable_lr_scaling(cfg: Config) -> None:
    """Scale the learning rate to the batch size of this run."""
    if "base_batch_size" not in cfg.get("auto_scale_lr", {}):
        raise UsageError(
            "--auto-scale-lr needs the batch size that the learning rate was chosen "
            "for: add auto_scale_lr = dict(base_batch_size=...) to the config."
        )
    cfg.auto_scale_lr.enable = True


def resume_from(cfg: Config, checkpoint: str) -> None:
    """Continue from a checkpoint, or with 'auto' from the last one of the work dir."""
    cfg.resume = True
    if checkpoint == "auto":
        cfg.load_from = None
    else:
        require_file(checkpoint, "checkpoint")
        cfg.load_from = checkpoint


if __name__ == "__main__":
    main()
