"""The runner of a config, on the devices that this machine has."""

import os
import warnings
from typing import Any

import torch.distributed
from mmengine._strategy import FSDPStrategy
from mmengine.config import Config, ConfigDict
from mmengine.device import get_device, is_cuda_available
from mmengine.dist import barrier
from mmengine.registry import RUNNERS, STRATEGIES
from mmengine.runner import Runner

from mmtaformer.utils.allocator import keep_freed_memory

from .console import QuietStart


def build_runner(cfg: Config, local_rank: int = 0) -> Runner:
    """Build the runner of a config, whose console shows what matters.

    Args:
        cfg: The whole config.
        local_rank: Number of this process on its machine, unless the environment
            variable LOCAL_RANK says so.
    """
    os.environ.setdefault("LOCAL_RANK", str(local_rank))
    if get_device() == "cpu":
        keep_freed_memory()
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        if cfg.get(name):
            _fit_loader(cfg[name])
    if cfg.launcher == "none":
        _leave_unsharded(cfg)
    elif cfg.launcher == "pytorch" and get_device() == "cpu":
        _use_cpu_process_group(cfg)
    kind = RUNNERS.get(cfg.get("runner_type", "Runner"))
    quiet: Any = type(kind.__name__, (QuietStart, kind), {})
    return quiet.from_cfg(cfg)


def _fit_loader(loader: ConfigDict) -> None:
    """Leave out what torch refuses without workers, or warns of without a GPU."""
    if not loader.get("num_workers"):
        loader.pop("persistent_workers", None)
    if not is_cuda_available():
        loader.pop("pin_memory", None)


def _leave_unsharded(cfg: Config) -> None:
    """Replace sharded training by the usual runner: one process has all there is."""
    strategy = STRATEGIES.get(cfg.strategy.type) if "strategy" in cfg else None
    if strategy is not None and issubclass(strategy, FSDPStrategy):
        cfg.pop("runner_type")
        cfg.pop("strategy")


def _use_cpu_process_group(cfg: Config) -> None:
    """Join the processes with gloo; mmengine would ask each for a GPU."""
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
    """Warn where mixed precision on the CPU takes longer than float32 would."""
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        warnings.warn(
            "This processor has no instructions for bfloat16: --amp makes the run "
            "slower here, not faster.",
            stacklevel=2,
        )


def leave_process_group() -> None:
    """End the communication of a distributed run that went well.

    Threads of a process group that still stands when the interpreter ends abort the
    process now and then ("terminate called without an active exception"), and torchrun
    reports a failure after all the work was done.
    """
    if torch.distributed.is_initialized():
        barrier()  # nobody leaves while another still needs an answer
        torch.distributed.destroy_process_group()
