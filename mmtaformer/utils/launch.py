"""What tools/train.py and tools/test.py have in common."""

import argparse
import os
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch.distributed
from mmengine._strategy import FSDPStrategy
from mmengine.config import Config, DictAction
from mmengine.device import get_device
from mmengine.dist import barrier, get_dist_info
from mmengine.registry import RUNNERS, STRATEGIES
from mmengine.runner import Runner
from torch.distributed.elastic.multiprocessing.errors import get_error_handler

from .errors import DataError, UsageError

INTERRUPTED = 130  # what a shell reports for a process ended by Ctrl-C


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options that training and testing share."""
    parser.add_argument(
        "--work-dir", help="folder for logs and checkpoints (work_dirs/CONFIG NAME)"
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="values that replace those of the config, such as "
        "train_dataloader.batch_size=2 model.bbox_head.num_classes=3",
    )
    parser.add_argument(
        "--launcher",
        choices=["none", "pytorch", "slurm", "mpi"],
        default="none",
        help="what started the processes of a distributed run",
    )
    # torchrun sets the environment variable; older launchers pass either spelling.
    parser.add_argument(
        "--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS
    )


def load_config(args: argparse.Namespace) -> Config:
    """Reads the config of the command line and applies the common options.

    Args:
        args: `config` and what :func:`add_common_arguments` adds.

    Returns:
        The config, with work_dir and launcher set.

    Raises:
        FileNotFoundError: If there is no such config.
    """
    require_file(args.config, "config")
    cfg = Config.fromfile(args.config)
    cfg.launcher = args.launcher
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get("work_dir") is None:
        cfg.work_dir = str(Path("work_dirs", Path(args.config).stem))
    return cfg


def require_file(path: str, kind: str) -> None:
    """Raises FileNotFoundError if a path of the command line leads nowhere.

    Addresses such as https://... are left to mmengine.
    """
    if "://" not in path and not Path(path).exists():
        raise FileNotFoundError(
            f"There is no {kind} {path} (looked from {Path.cwd()}); check the path."
        )


def build_runner(cfg: Config, local_rank: int = 0) -> Runner:
    """Builds the runner of a config, on the devices this machine has.

    Args:
        cfg: The whole config.
        local_rank: Number of this process on its machine, unless the environment
            variable LOCAL_RANK says so.
    """
    os.environ.setdefault("LOCAL_RANK", str(local_rank))
    if cfg.launcher == "none":
        _leave_unsharded(cfg)
    elif cfg.launcher == "pytorch" and get_device() == "cpu":
        _use_cpu_process_group(cfg)
    if "runner_type" in cfg:
        return RUNNERS.build(cfg)
    return Runner.from_cfg(cfg)


def _leave_unsharded(cfg: Config) -> None:
    """Replaces sharded training by the usual runner: one process has all there is."""
    strategy = STRATEGIES.get(cfg.strategy.type) if "strategy" in cfg else None
    if strategy is not None and issubclass(strategy, FSDPStrategy):
        cfg.pop("runner_type")
        cfg.pop("strategy")


def _use_cpu_process_group(cfg: Config) -> None:
    """Joins the processes with gloo; mmengine would ask each for a GPU."""
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo")
    if "strategy" in cfg:  # of a FlexibleRunner; it wraps the model
        return
    wrapper = dict(
        type="MMDistributedDataParallel",
        broadcast_buffers=False,
        find_unused_parameters=cfg.get("find_unused_parameters", False),
    )
    wrapper.update(cfg.get("model_wrapper_cfg") or {})
    cfg.model_wrapper_cfg = dict(wrapper, device_ids=None)


def warn_of_slow_bfloat16() -> None:
    """Warns where mixed precision on the CPU takes longer than float32 would."""
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        warnings.warn(
            "This processor has no instructions for bfloat16: --amp makes the run "
            "slower here, not faster.",
            stacklevel=2,
        )


def leave_process_group() -> None:
    """Ends the communication of a distributed run that went well.

    Threads of a process group that still stands when the interpreter ends abort the
    process now and then ("terminate called without an active exception"), and torchrun
    reports a failure after all the work was done.
    """
    if torch.distributed.is_initialized():
        barrier()  # nobody leaves while another still needs an answer
        torch.distributed.destroy_process_group()


@contextmanager
def friendly_errors() -> Iterator[None]:
    """Ends the program with one sentence where a user can put things right.

    That is a missing file, a loss that is not finite, or a ValueError of this package,
    which stands for data or options that do not fit. Other errors keep their traceback.

    In a distributed run the launcher ends the other processes. What went wrong first,
    and where, is in the summary that torchrun closes with.
    """
    try:
        yield
    except Exception as error:
        _tell_launcher(error)
        if not _is_friendly(error):
            raise
        rank, world_size = get_dist_info()
        where = f"process {rank} of {world_size}: " if world_size > 1 else ""
        sys.exit(f"error: {where}{error}")
    except KeyboardInterrupt:
        print(
            "\nInterrupted. The checkpoints saved so far are kept; train on with "
            "--resume.",
            file=sys.stderr,
        )
        sys.exit(INTERRUPTED)


def _tell_launcher(error: Exception) -> None:
    """Puts an error into the summary that torchrun closes with.

    torchrun takes the first error for the cause, by whole seconds. The other processes
    fail as soon as they miss this one, so it stays for longer than that.
    """
    get_error_handler().record_exception(error)
    if get_dist_info()[1] > 1:
        time.sleep(1)


def _is_friendly(error: Exception) -> bool:
    if isinstance(error, ValueError) and not isinstance(error, DataError):
        return _raised_by_this_package(error)
    return isinstance(
        error, DataError | FileNotFoundError | FloatingPointError | UsageError
    )


def _raised_by_this_package(error: BaseException) -> bool:
    innermost = traceback.extract_tb(error.__traceback__)[-1]
    package = Path(__file__).resolve().parents[1]
    return Path(innermost.filename).resolve().is_relative_to(package)
