"""mmcv's CUDA kernel of multi-scale deformable attention under its own contract.

The kernel takes contiguous float32 or float64 tensors (its half is not used), computes
indices in 32 bits, and wants a batch that ``min(batch, im2col_step)`` divides. Whoever
calls :func:`multi_scale_attention` need not know.
"""

import functools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ..utils.errors import DataError

# The loops over elements advance by the size of the grid, at most 2 ** 21 threads,
# before they compare: the 32-bit index must not overflow then.
_LARGEST_SIZE = 2**31 - 2**22


def multi_scale_attention(
    value: Tensor,
    spatial_shapes: Sequence[tuple[int, int]],
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    """Multi-scale deformable attention by mmcv's CUDA kernel.

    Args:
        value: (N, S, M, D), float32 or float64 as the other tensors.
        spatial_shapes: (H_l, W_l) of the levels.
        sampling_locations: (N, Lq, M, L, P, 2) in [0, 1].
        attention_weights: (N, Lq, M, L, P).

    Returns:
        (N, Lq, M*D).
    """
    sizes = [size for shape in spatial_shapes for size in shape]
    return _attention(value, sizes, sampling_locations, attention_weights)


@torch.library.custom_op(
    "mmtaformer::multi_scale_deformable_attention", mutates_args=()
)
def _attention(
    value: Tensor,
    spatial_shapes: Sequence[int],
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    inputs = _contiguous(value, sampling_locations, attention_weights)
    levels = _level_tensors(tuple(spatial_shapes), value.device)
    outputs = [
        _extension().ms_deform_attn_forward(
            values, *levels, locations, weights, im2col_step=len(values)
        )
        for values, locations, weights in _parts(*inputs)
    ]
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


@_attention.register_fake
def _(
    value: Tensor,
    spatial_shapes: Sequence[int],
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    batch, _, heads, channels = value.shape
    return value.new_empty((batch, sampling_locations.shape[1], heads * channels))


@torch.library.custom_op(
    "mmtaformer::multi_scale_deformable_attention_backward", mutates_args=()
)
def _attention_backward(
    grad_output: Tensor,
    value: Tensor,
    spatial_shapes: Sequence[int],
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    inputs = _contiguous(value, sampling_locations, attention_weights)
    grad_value, grad_locations, grad_weights = map(torch.zeros_like, inputs)
    grads = (grad_value, grad_locations, grad_weights)
    levels = _level_tensors(tuple(spatial_shapes), value.device)
    parts = _parts(*inputs, grad_output.contiguous(), *grads)
    for values, locations, weights, *gradients in parts:
        _extension().ms_deform_attn_backward(
            values, *levels, locations, weights, *gradients, im2col_step=len(values)
        )
    return grads


@_attention_backward.register_fake
def _(
    grad_output: Tensor,
    value: Tensor,
    spatial_shapes: Sequence[int],
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    inputs = (value, sampling_locations, attention_weights)
    grad_value, grad_locations, grad_weights = (
        tensor.new_empty(tensor.shape) for tensor in inputs
    )
    return grad_value, grad_locations, grad_weights


def _setup_context(ctx, inputs, output) -> None:
    value, ctx.spatial_shapes, locations, weights = inputs
    ctx.save_for_backward(value, locations, weights)


def _backward(ctx, grad_output: Tensor) -> tuple[Tensor | None, ...]:
    value, locations, weights = ctx.saved_tensors
    grad_value, grad_locations, grad_weights = _attention_backward(
        grad_output, value, ctx.spatial_shapes, locations, weights
    )
    return grad_value, None, grad_locations, grad_weights


_attention.register_autograd(_backward, setup_context=_setup_context)


def _extension():
    from mmcv.ops.multi_scale_deform_attn import ext_module

    return ext_module


def _contiguous(*tensors: Tensor) -> tuple[Tensor, ...]:
    return tuple(tensor.contiguous() for tensor in tensors)


@functools.lru_cache(maxsize=64)
def _level_tensors(
    spatial_shapes: tuple[int, ...], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Spatial shapes (L, 2) and start index (L,) of the levels, int64."""
    shapes = torch.tensor(spatial_shapes).view(-1, 2)
    starts = shapes.prod(1).cumsum(0) - shapes.prod(1)
    return shapes.to(device), starts.to(device)


def _parts(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Slices of the batch that stay in the kernel's index range.

    The whole part is one im2col step, which divides it whatever its size (71 frames
    are no multiple of mmcv's usual 64).
    """
    batch = tensors[0].shape[0]
    largest = max(tensor[:1].numel() for tensor in tensors)
    step = _LARGEST_SIZE // max(largest, 1)
    if step == 0:
        raise DataError(
            f"One frame has a tensor of {largest} elements, more than the 32-bit "
            "indices of mmcv's CUDA kernel reach; use smaller images."
        )
    for start in range(0, max(batch, 1), step):
        yield tuple(tensor[start : start + step] for tensor in tensors)
