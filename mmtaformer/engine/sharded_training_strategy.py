"""Training with parameters and optimizer spread over the processes (FSDP)."""

from collections.abc import Collection, Mapping
from typing import Any

import torch
from mmengine._strategy import FSDPStrategy
from mmengine.device import get_device
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from mmengine.registry import FUNCTIONS, STRATEGIES
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel

from mmtaformer.utils.files import atomic_path


@FUNCTIONS.register_module()
def wrap_layers(
    module: nn.Module, recurse: bool, nonwrapped_numel: int, layers: Collection[str]
) -> bool:
    """Decide what FSDP shards as one unit: the modules of the given classes.

    Args:
        module: The module in question.
        recurse: Whether the question is only if to look at its children.
        nonwrapped_numel: Not used.
        layers: Names of classes.
    """
    return recurse or type(module).__name__ in layers


@STRATEGIES.register_module()
class ShardedTrainingStrategy(FSDPStrategy):
    """mmengine's ``FSDPStrategy`` with what it lacks to train as DDP does.

    - Gradients are clipped by the norm of the whole gradient. mmengine clips what a
      process holds of it by the norm of just that.
    - ``--resume`` works: mmengine loads the optimizer with torch 2.0's arguments.
    - A checkpoint with another number of classes can be fine-tuned: its parameters
      of another shape are left out.
    - It runs on CPUs, with gloo.
    - A checkpoint appears under its name when it is complete.

    Args:
        kwargs: See mmengine's ``FSDPStrategy``. ``state_dict_cfg="full"`` writes
            checkpoints that any other way of testing and fine-tuning can load.
    """

    model_wrapper: dict | None

    def _wrap_model(self, model: nn.Module) -> nn.Module:
        self._shapes = {name: value.shape for name, value in model.state_dict().items()}
        if get_device() == "cpu":
            self.model_wrapper = dict(self.model_wrapper or {}, device_id="cpu")
            # torch frees parameters once they are offloaded, even from CPU to CPU,
            # where that is no copy.
            self.state_dict_config.offload_to_cpu = False
            self.optim_state_dict_config.offload_to_cpu = False
        return super()._wrap_model(model)

    def build_optim_wrapper(self, optim_wrapper: Any, model: Any = None) -> Any:
        """Build the optimizer, and clip by the norm over all processes.

        Args:
            optim_wrapper: Its config.
            model: The sharded model.
        """
        built = super().build_optim_wrapper(optim_wrapper, model)
        if getattr(built, "clip_func", None) is torch.nn.utils.clip_grad_norm_:

            def clip(
                params: Any, max_norm: float, norm_type: float = 2
            ) -> torch.Tensor:
                return model.clip_grad_norm_(max_norm, norm_type)

            built.clip_func = clip
        return built

    def load_model_state_dict(
        self, state_dict: Mapping[str, torch.Tensor], **kwargs: Any
    ) -> None:
        """Load what fits of a checkpoint.

        Args:
            state_dict: The whole model's parameters and buffers.
            kwargs: See mmengine's ``FSDPStrategy``.
        """
        unfit = [
            name
            for name, value in state_dict.items()
            if self._is_full_state_dict() and value.shape != self._shapes.get(name)
        ]
        if unfit:
            print_log(
                "Not loaded, because the model has no such parameter or one of "
                f"another shape: {', '.join(unfit)}",
                "current",
            )
        fit = {name: v for name, v in state_dict.items() if name not in unfit}
        super().load_model_state_dict(fit, **kwargs)

    def save_checkpoint(self, filename: str, **kwargs: Any) -> None:
        """Save a checkpoint; all processes call this, and the main one writes.

        Args:
            filename: Where to write it.
            kwargs: See mmengine's ``FSDPStrategy``.
        """
        if not (is_main_process() and self._is_full_state_dict()):
            super().save_checkpoint(filename, **kwargs)
            return
        with atomic_path(filename) as partial:
            super().save_checkpoint(str(partial), **kwargs)

    def load_optim_state_dict(self, state_dict: dict) -> None:
        """Load the state of the optimizer from a checkpoint.

        Args:
            state_dict: What :meth:`optim_state_dict` returned.
        """
        optimizer = self.optim_wrapper.optimizer
        state = FullyShardedDataParallel.optim_state_dict_to_load(
            self.model, optimizer, state_dict
        )
        self.optim_wrapper.load_state_dict(state)
