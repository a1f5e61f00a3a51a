"""Dropout that is fast on the CPU and stores no mask.

On the CPU PyTorch draws the mask one element after the other, in one thread, and keeps
it for the gradient in the type of the values. In a training step of SeqFormer with
ResNet-50 that was a fifth of the time.
"""

import torch
from torch import Tensor, nn

from . import cpu_library

# The kernel draws 16 bits for an element.
_STEP = 2**-16


@torch.library.custom_op("mmtaformer::dropout", mutates_args=(), device_types="cpu")
def _dropout(values: Tensor, seed: Tensor, p: float) -> Tensor:
    """Drop by a mask that follows from the seed; where the kernels are loaded."""
    return torch.ops.mmtaformer_cpu.dropout(values, seed, p)


@_dropout.register_fake
def _(values: Tensor, seed: Tensor, p: float) -> Tensor:
    return values.new_empty(values.shape)


def _setup_context(ctx, inputs, output) -> None:
    _, seed, ctx.p = inputs
    ctx.save_for_backward(seed)


def _backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:
    (seed,) = ctx.saved_tensors
    return _dropout(grad, seed, ctx.p), None, None


_dropout.register_autograd(_backward, setup_context=_setup_context)


class CPUDropout(nn.Dropout):
    """``nn.Dropout`` with a kernel of its own on the CPU.

    The mask follows from a seed that PyTorch's generator draws. ``p`` is rounded to a
    multiple of 2**-16, and the factor on what is kept follows the rounded one. On other
    devices, and where the kernel cannot be built, it is ``nn.Dropout``.
    """

    def forward(self, input: Tensor) -> Tensor:
        ours = self.training and _STEP <= self.p <= 1 - _STEP
        if not (ours and input.device.type == "cpu" and cpu_library.is_available()):
            return super().forward(input)
        return _dropout(input, torch.randint(2**63 - 1, ()), self.p)


def use_cpu_dropout(model: nn.Module) -> None:
    """Replace every ``nn.Dropout`` of a model, in place, by :class:`CPUDropout`."""
    for parent in model.modules():
        for name, child in parent.named_children():
            if type(child) is nn.Dropout:
                setattr(parent, name, CPUDropout(child.p, child.inplace))
