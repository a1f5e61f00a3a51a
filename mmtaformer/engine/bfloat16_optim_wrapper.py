from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmdet.registry import OPTIM_WRAPPERS
from mmengine.optim import OptimWrapper
from mmengine.runner.amp import autocast
from torch import nn


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Mixed precision in bfloat16 on any device, the CPU included.

    mmengine's ``AmpOptimWrapper`` refuses to run without an accelerator. bfloat16 has
    the range of float32, so the loss needs no scaling.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Runs forward and losses under autocast.

        Args:
            model: The model that is trained.
        """
        with super().optim_context(model), autocast(dtype=torch.bfloat16):
            yield
