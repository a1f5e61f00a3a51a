"""The CPU operator, registered with ``torch.library``.

Location arithmetic and sampling happen inside the kernels of ``cpu_attention.cpp``, so
that no sampling locations are stored. The backward pass computes them, and the softmax,
again.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .composed_attention import (
    compute_dtype,
    existing_frames,
    missing_parts,
    normalized_weights,
)

# From here on it was faster to bring the values of a head together first.
_SAMPLES_PER_TOKEN = 16


def _laid_out(value: Tensor, attention_logits: Tensor) -> Tensor:
    """``value`` (B, Tv, S, M, D) as the kernels read it, and write its gradient.

    Contiguous. Where a token is sampled often, in the encoder, (B, Tv, M, S, D) is, so
    that what a head samples for neighbouring queries stays in cache.
    """
    _, _, queries, _, *samples = attention_logits.shape
    if queries * math.prod(samples) >= _SAMPLES_PER_TOKEN * value.shape[2]:
        return value.transpose(2, 3).contiguous().transpose(2, 3)
    return value.contiguous()


def _kernel_inputs(
    value: Tensor,
    reference_points: Tensor,
    sampling_offsets: Tensor,
    attention_logits: Tensor,
    spatial_shapes: Sequence[int],
    relative_frames: Sequence[int],
    first_frame: int,
) -> tuple[Tensor | Sequence[int] | int, ...]:
    """The arguments that both kernels share, in their layout and one dtype."""
    dtype = compute_dtype(value, reference_points, sampling_offsets, attention_logits)
    references = reference_points.to(dtype)
    spans = existing_frames(
        attention_logits.shape[1], value.shape[1], relative_frames, first_frame
    )
    return (
        _laid_out(value.to(dtype), attention_logits),
        spatial_shapes,
        references if references.stride(-1) == 1 else references.contiguous(),
        sampling_offsets.to(dtype).contiguous(),
        normalized_weights(attention_logits.to(dtype), spans),
        relative_frames,
        first_frame,
    )


@torch.library.custom_op(
    "mmtaformer::spatio_temporal_deformable_attention",
    mutates_args=(),
    device_types="cpu",
)
def attention(
    value: Tensor,
    reference_points: Tensor,
    sampling_offsets: Tensor,
    attention_logits: Tensor,
    spatial_shapes: Sequence[int],
    relative_frames: Sequence[int],
    first_frame: int,
) -> Tensor:
    """The attention on the CPU, where ``cpu_library.is_available()``.

    Args:
        value ... attention_logits: as for
            :func:`mmtaformer.ops.spatio_temporal_deformable_attention`.
        spatial_shapes: H_0, W_0, H_1, W_1, ...
        relative_frames, first_frame: as above.

    Returns:
        (B, Tq, Lq, M*D).
    """
    output = torch.ops.mmtaformer_cpu.forward(
        *_kernel_inputs(
            value,
            reference_points,
            sampling_offsets,
            attention_logits,
            spatial_shapes,
            relative_frames,
            first_frame,
        )
    )
    return output.flatten(3).to(value.dtype)


@attention.register_fake
def _(
    value: Tensor,
    reference_points: Tensor,
    sampling_offsets: Tensor,
    attention_logits: Tensor,
    spatial_shapes: Sequence[int],
    relative_frames: Sequence[int],
    first_frame: int,
) -> Tensor:
    shape = attention_logits.shape[:4]
    return value.new_empty((*shape[:3], shape[3] * value.shape[-1]))


@torch.library.custom_op(
    "mmtaformer::spatio_temporal_deformable_attention_backward",
    mutates_args=(),
    device_types="cpu",
)
def attention_backward(
    grad_output: Tensor,
    value: Tensor,
    reference_points: Tensor,
    sampling_offsets: Tensor,
    attention_logits: Tensor,
    spatial_shapes: Sequence[int],
    relative_frames: Sequence[int],
    first_frame: int,
    reference_grad: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of the four tensors; that of the reference points only on request."""
    inputs = _kernel_inputs(
        value,
        reference_points,
        sampling_offsets,
        attention_logits,
        spatial_shapes,
        relative_frames,
        first_frame,
    )
    weights = inputs[4]
    grad_value, grad_positions, grad_weights = torch.ops.mmtaformer_cpu.backward(
        grad_output.to(weights.dtype).contiguous(), *inputs
    )
    spans = existing_frames(
        weights.shape[1], value.shape[1], relative_frames, first_frame
    )
    for grad in (grad_positions, grad_weights):
        for part in missing_parts(grad, spans):  # which the kernel skips
            part.zero_()
    grad_logits = torch.ops.aten._softmax_backward_data(
        grad_weights.flatten(4), weights.flatten(4), -1, weights.dtype
    )
    sizes = weights.new_tensor(spatial_shapes).view(-1, 2).flip(1)
    grad_reference = reference_points.new_empty(0)
    if reference_grad:
        grad_reference = _reference_grad(
            grad_positions, reference_points, sampling_offsets, sizes
        )
    if reference_points.shape[-1] == 4:
        boxes = reference_points[:, :, :, None, None, :, None, 2:]
        grad_positions *= boxes * sizes[:, None] / (2 * sampling_offsets.shape[-2])
    return (
        grad_value.to(value.dtype),
        grad_reference,
        grad_positions.to(sampling_offsets.dtype),
        grad_logits.view(weights.shape).to(attention_logits.dtype),
    )


@attention_backward.register_fake
def _(
    grad_output: Tensor,
    value: Tensor,
    reference_points: Tensor,
    sampling_offsets: Tensor,
    attention_logits: Tensor,
    spatial_shapes: Sequence[int],
    relative_frames: Sequence[int],
    first_frame: int,
    reference_grad: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    reference_shape = reference_points.shape if reference_grad else (0,)
    return (
        torch.empty_like(_laid_out(value, attention_logits)),
        reference_points.new_empty(reference_shape),
        sampling_offsets.new_empty(sampling_offsets.shape),
        attention_logits.new_empty(attention_logits.shape),
    )


def _reference_grad(
    grad_positions: Tensor, references: Tensor, offsets: Tensor, sizes: Tensor
) -> Tensor:
    """Sum over heads, relative frames and points of the locations' gradient.

    Args:
        grad_positions: (B, Tq, Lq, M, R, L, P, 2) in pixels.
        references: (B, Tq, Lq, L, 2 or 4).
        offsets: (B, Tq, Lq, M, R, L, P, 2).
        sizes: (L, 2) width and height.
    """
    grad_locations = grad_positions * sizes[:, None]
    grad = grad_locations.sum((3, 4, 6))
    if references.shape[-1] == 4:
        grad_locations *= offsets
        grad_size = grad_locations.sum((3, 4, 6)) / (2 * offsets.shape[-2])
        grad = torch.cat([grad, grad_size], -1)
    return grad.to(references.dtype)


def _setup_context(ctx, inputs, output) -> None:
    *tensors, ctx.spatial_shapes, ctx.relative_frames, ctx.first_frame = inputs
    ctx.save_for_backward(*tensors)
    ctx.set_materialize_grads(False)


def _backward(ctx, grad_output: Tensor | None) -> tuple[Tensor | None, ...]:
    if grad_output is None:
        return (None,) * 7
    reference_grad = ctx.needs_input_grad[1]
    value, reference, offsets, logits = attention_backward(
        grad_output,
        *ctx.saved_tensors,
        ctx.spatial_shapes,
        ctx.relative_frames,
        ctx.first_frame,
        reference_grad,
    )
    return value, reference if reference_grad else None, offsets, logits, *[None] * 3


attention.register_autograd(_backward, setup_context=_setup_context)
