"""Dropout that is fast on the CPU and stores no mask.

On the CPU PyTorch draws the mask one element after the other, in one thread, and keeps
it for the gradient in the type of the values. In a training step of SeqFormer with
ResNet-50 that was a fifth of the time.
"""

import torch
from torch import Tensor, nn

from . import cpu_library

# The kernel draws 16 bits for an element.
_DRAWS = 2**16


def _threshold(p: float) -> int:
    """How many of all draws drop an element."""
    return round(p * _DRAWS)


@torch.library.custom_op("mmtaformer::dropout", mutates_args=(), device_types="cpu")
def _dropout(values: Tensor, seed: Tensor, p: float, relu: bool) -> Tensor:
    """Drop by a mask that follows from the seed; where the kernels are loaded."""
    return torch.ops.mmtaformer_cpu.dropout(values, seed, _threshold(p), relu)


@_dropout.register_fake
def _(values: Tensor, seed: Tensor, p: float, relu: bool) -> Tensor:
    return values.new_empty(values.shape)


def _setup_context(ctx, inputs, output) -> None:
    _, seed, ctx.p, ctx.relu = inputs
    # The layer that follows keeps the output as well. Without ReLU, a zero in it may
    # have been one before.
    ctx.save_for_backward(output if ctx.relu else seed)


def _backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
    (saved,) = ctx.saved_tensors
    if ctx.relu:
        scale = _DRAWS / (_DRAWS - _threshold(ctx.p))
        grad = torch.ops.aten.threshold_backward(grad, saved, 0).mul_(scale)
    else:  # with the same mask, drawn again
        grad = _dropout(grad, saved, ctx.p, False)
    return grad, None, None, None


_dropout.register_autograd(_backward, setup_context=_setup_context)


class CPUDropout(nn.Dropout):
    """``nn.Dropout``, of what a ReLU leaves if asked for, with a kernel on the CPU.

    The mask follows from a seed that PyTorch's generator draws. ``p`` is rounded to a
    multiple of 2**-16, and the factor on what is kept follows the rounded one. On other
    devices, and where the kernel cannot be built, PyTorch computes both.

    Args:
        p: Share that is dropped.
        inplace: Whether PyTorch's dropout may overwrite its input.
        relu: The ReLU that comes first, if there is one.
    """

    def __init__(
        self, p: float, inplace: bool = False, relu: nn.ReLU | None = None
    ) -> None:
        super().__init__(p, inplace)
        self.relu = relu

    def forward(self, input: Tensor) -> Tensor:
        ours = self.training and 0 < _threshold(self.p) < _DRAWS
        if ours and input.device.type == "cpu" and cpu_library.is_available():
            seed = torch.randint(2**63 - 1, ())
            return _dropout(input, seed, self.p, self.relu is not None)
        if self.relu is not None:
            input = self.relu(input)
        return super().forward(input)


def use_cpu_dropout(model: nn.Module) -> None:
    """Replace every ``nn.Dropout`` of a model, in place, by :class:`CPUDropout`.

    A ReLU right before it in a sequence becomes part of it.
    """
    for parent in list(model.modules()):
        previous: str = ""
        relu: nn.ReLU | None = None
        for name, child in list(parent.named_children()):
            if type(child) is nn.Dropout:
                if relu is not None:
                    setattr(parent, previous, nn.Identity())
                setattr(parent, name, CPUDropout(child.p, child.inplace, relu))
            previous, relu = name, None
            if isinstance(parent, nn.Sequential) and type(child) is nn.ReLU:
                relu = child
