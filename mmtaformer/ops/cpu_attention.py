"""The fused CPU operator, registered with ``torch.library``.

Softmax, location arithmetic and sampling happen inside the kernels, so that neither
sampling locations nor attention weights are stored. The backward pass recomputes them.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .composed_attention import compute_dtype
from .parallel import parallel_for

# Work that is worth handing to another thread: it takes some 100 microseconds.
_SAMPLES_PER_CHUNK = 4096
_NUMBERS_PER_CHUNK = 2**16
# From here on it was faster to bring the values of a head together first.
_SAMPLES_PER_TOKEN = 16


def _array(tensor: Tensor, dtype: torch.dtype) -> np.ndarray:
    return tensor.detach().to(dtype).contiguous().numpy()


def _is_heads_first(tokens: int, attention_logits: Tensor) -> bool:
    """Whether the values are laid out as (B, Tv, M, S, D) instead of (B, Tv, S, M, D).

    Then what a head samples for neighbouring queries stays in cache, which pays for
    the copy where a row is sampled often: in the encoder, not in the decoder.
    """
    _, _, queries, _, *samples = attention_logits.shape
    return queries * math.prod(samples) >= _SAMPLES_PER_TOKEN * tokens


def _laid_out(value: Tensor, heads_first: bool, dtype: torch.dtype) -> np.ndarray:
    """Contiguous, copied only if necessary."""
    value = value.detach().transpose(2, 3) if heads_first else value.detach()
    value = value.to(dtype)
    if value.is_contiguous():
        return value.numpy()
    result = torch.empty(value.shape, dtype=dtype)
    parts = value.shape[: 3 if heads_first else 2]  # frames, and heads
    smallest_chunk = _NUMBERS_PER_CHUNK // value.shape[len(parts) :].numel() + 1
    parallel_for(
        _copy, parts.numel(), smallest_chunk, value.numpy(), result.numpy(), parts
    )
    return result.numpy()


def _copy(
    start: int, stop: int, source: np.ndarray, target: np.ndarray, parts: Sequence[int]
) -> None:
    # Not by PyTorch, whose threads would spin for a while and slow the kernels down.
    for item in range(start, stop):
        index = np.unravel_index(item, parts)
        np.copyto(target[index], source[index])


def _unexpanded(references: Tensor) -> Tensor:
    """Expanded dimensions back to size 1, so that they are not copied."""
    for dim in range(references.dim() - 1):
        if references.stride(dim) == 0 and references.size(dim) > 1:
            references = references.narrow(dim, 0, 1)
    return references


def _kernel_inputs(
    value: Tensor,
    reference_points: Tensor,
    sampling_offsets: Tensor,
    attention_logits: Tensor,
    spatial_shapes: Sequence[int],
    relative_frames: Sequence[int],
    first_frame: int,
) -> tuple[np.ndarray | int, ...]:
    """The arguments that both kernels share, in their layout and one dtype."""
    dtype = compute_dtype(value, reference_points, sampling_offsets, attention_logits)
    heads_first = _is_heads_first(value.shape[2], attention_logits)
    return (
        _laid_out(value, heads_first, dtype),
        heads_first,
        np.array(spatial_shapes, np.int64).reshape(-1, 2),
        _array(_unexpanded(reference_points), dtype),
        _array(sampling_offsets.flatten(5), dtype),
        _array(attention_logits.flatten(5), dtype),
        np.array(relative_frames, np.int64),
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
) -> tuple[Tensor, Tensor]:
    """The attention on the CPU.

    Args:
        value ... attention_logits: as for
            :func:`mmtaformer.ops.spatio_temporal_deformable_attention`.
        spatial_shapes: H_0, W_0, H_1, W_1, ...
        relative_frames, first_frame: as above.

    Returns:
        The result (B, Tq, Lq, M*D) and, for the backward pass, the logarithm of the
        softmax denominator (B, Tq, Lq, M).
    """
    from . import cpu_kernels  # Numba is imported at the first call

    inputs = _kernel_inputs(
        value,
        reference_points,
        sampling_offsets,
        attention_logits,
        spatial_shapes,
        relative_frames,
        first_frame,
    )
    clips, frames, queries, heads = attention_logits.shape[:4]
    dtype = compute_dtype(value, reference_points, sampling_offsets, attention_logits)
    output = torch.empty((clips, frames, queries, heads, value.shape[-1]), dtype=dtype)
    log_sums = torch.empty((clips, frames, queries, heads), dtype=dtype)
    parallel_for(
        cpu_kernels.forward,
        log_sums.numel(),
        max(_SAMPLES_PER_CHUNK // attention_logits.shape[4:].numel(), 1),
        *inputs,
        output.numpy(),
        log_sums.numpy(),
    )
    return output.flatten(3).to(value.dtype), log_sums


@attention.register_fake
def _(
    value: Tensor,
    reference_points: Tensor,
    sampling_offsets: Tensor,
    attention_logits: Tensor,
    spatial_shapes: Sequence[int],
    relative_frames: Sequence[int],
    first_frame: int,
) -> tuple[Tensor, Tensor]:
    dtype = compute_dtype(value, reference_points, sampling_offsets, attention_logits)
    shape = attention_logits.shape[:4]
    output = value.new_empty((*shape[:3], shape[3] * value.shape[-1]))
    return output, value.new_empty(shape, dtype=dtype)


@torch.library.custom_op(
    "mmtaformer::spatio_temporal_deformable_attention_backward",
    mutates_args=(),
    device_types="cpu",
)
def attention_backward(
    grad_output: Tensor,
    output: Tensor,
    log_sums: Tensor,
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
    from . import cpu_kernels

    inputs = _kernel_inputs(
        value,
        reference_points,
        sampling_offsets,
        attention_logits,
        spatial_shapes,
        relative_frames,
        first_frame,
    )
    clips, value_frames, tokens, heads, channels = value.shape
    dtype = log_sums.dtype
    heads_first = _is_heads_first(tokens, attention_logits)
    grad_value = torch.empty(inputs[0].shape, dtype=dtype)
    grad_positions = torch.empty(sampling_offsets.shape, dtype=dtype)
    grad_logits = torch.empty(attention_logits.shape, dtype=dtype)
    for i, frame in enumerate(range(first_frame, first_frame + output.shape[1])):
        for j, relative in enumerate(relative_frames):
            if not 0 <= frame + relative < value_frames:  # the kernel skips these
                grad_positions[:, i, :, :, j] = 0
                grad_logits[:, i, :, :, j] = 0
    samples = attention_logits.shape[2] * attention_logits.shape[4:].numel()
    by_head = (*attention_logits.shape[:4], channels)
    parallel_for(
        cpu_kernels.backward,
        clips * value_frames * heads,
        max(_SAMPLES_PER_CHUNK // max(samples, 1), 1),
        *inputs,
        _array(output, dtype).reshape(by_head),
        log_sums.numpy(),
        _array(grad_output, dtype).reshape(by_head),
        grad_value.numpy(),
        grad_positions.flatten(5).numpy(),
        grad_logits.flatten(5).numpy(),
    )
    sizes = torch.tensor(spatial_shapes, dtype=dtype).view(-1, 2).flip(1)
    grad_reference = reference_points.new_empty(0)
    if reference_grad:
        grad_reference = _reference_grad(
            grad_positions, reference_points, sampling_offsets, sizes
        )
    if reference_points.shape[-1] == 4:
        boxes = reference_points[:, :, :, None, None, :, None, 2:]
        grad_positions *= boxes * sizes[:, None] / (2 * sampling_offsets.shape[-2])
    return (
        (grad_value.transpose(2, 3) if heads_first else grad_value).to(value.dtype),
        grad_reference,
        grad_positions.to(sampling_offsets.dtype),
        grad_logits.to(attention_logits.dtype),
    )


@attention_backward.register_fake
def _(
    grad_output: Tensor,
    output: Tensor,
    log_sums: Tensor,
    value: Tensor,
    reference_points: Tensor,
    sampling_offsets: Tensor,
    attention_logits: Tensor,
    spatial_shapes: Sequence[int],
    relative_frames: Sequence[int],
    first_frame: int,
    reference_grad: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    grad_value = value.new_empty(value.shape)
    if _is_heads_first(value.shape[2], attention_logits):
        grad_value = value.new_empty(value.transpose(2, 3).shape).transpose(2, 3)
    reference_shape = reference_points.shape if reference_grad else (0,)
    return (
        grad_value,
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
    ctx.save_for_backward(*output, *tensors)
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)


def _backward(ctx, grad_output: Tensor | None, _) -> tuple[Tensor | None, ...]:
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
