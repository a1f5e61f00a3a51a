"""The fused operator in Triton, registered with ``torch.library``.

One launch forward and one backward. Sampling locations and attention weights are never
stored: the forward pass keeps its output and the logarithm of the softmax denominator,
the backward pass computes the rest again. Triton is imported at the first call.
"""

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from ..utils.errors import DataError

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
# What the kernels index in 32 bits, and the largest grid along its third axis.
_LARGEST_FRAME = 2**31 - 1
_LARGEST_GRID = 65535
# Numbers of a (queries, channels) tile that one program holds.
_TILE_SIZE = 512
# Left to itself the compiler spills a few registers to run more programs at once.
COMPILER_OPTIONS = dict(num_warps=4, maxnreg=128)


@torch.library.custom_op("mmtaformer::triton_deformable_attention", mutates_args=())
def attention(
    value: Tensor,
    reference_points: Tensor,
    sampling_offsets: Tensor,
    attention_logits: Tensor,
    spatial_shapes: Sequence[int],
    relative_frames: Sequence[int],
    first_frame: int,
) -> tuple[Tensor, Tensor]:
    """The attention on a CUDA device.

    The tensors may differ in dtype, each one of :data:`DTYPES`. Positions, weights and
    sums are float32.

    Args:
        value ... attention_logits: as for
            :func:`mmtaformer.ops.spatio_temporal_deformable_attention`.
        spatial_shapes: H_0, W_0, H_1, W_1, ...
        relative_frames, first_frame: as above.

    Returns:
        The result (B, Tq, Lq, M*D) and, for the backward pass, the logarithm of the
        softmax denominator (B, Tq, Lq, M), float32.

    Raises:
        DataError: If a frame is too large for the kernels, or there are too many.
    """
    from . import triton_kernels

    _check(value, reference_points, sampling_offsets, attention_logits)
    clips, frames, queries, heads, *samples = attention_logits.shape
    output = value.new_empty((clips, frames, queries, heads * value.shape[-1]))
    log_sums = value.new_empty((clips, frames, queries, heads), dtype=torch.float32)
    if log_sums.numel() == 0:
        return output, log_sums
    references, strides = _references(reference_points)
    sizes, grid = _sizes(value, reference_points, attention_logits)
    with torch.cuda.device_of(value):
        triton_kernels.forward_kernel[grid](
            value.contiguous(),
            references,
            sampling_offsets.contiguous(),
            attention_logits.contiguous(),
            _levels(tuple(spatial_shapes), value.device),
            _int32(tuple(relative_frames), value.device),
            output,
            log_sums,
            *strides,
            first_frame,
            frames,
            queries,
            *value.shape[1:3],
            **sizes,
            BLOCK_N=_power_of_two(torch.Size(samples).numel()),
            **COMPILER_OPTIONS,
        )
    return output, log_sums


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
    shape = attention_logits.shape[:4]
    output = value.new_empty((*shape[:3], shape[3] * value.shape[-1]))
    return output, value.new_empty(shape, dtype=torch.float32)


@torch.library.custom_op(
    "mmtaformer::triton_deformable_attention_backward", mutates_args=()
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
    """Gradients of the four tensors; that of the reference points only on request.

    Gradients of the values are added up by float32 atomics, in an order that differs
    from run to run. After ``torch.use_deterministic_algorithms(True)`` they are added
    up as integers, see :func:`_fixed_point_scale`.
    """
    from . import triton_kernels

    deterministic = torch.are_deterministic_algorithms_enabled()
    frames, queries = log_sums.shape[1:3]
    sum_dtype = torch.int64 if deterministic else torch.float32
    grad_value = torch.zeros(value.shape, dtype=sum_dtype, device=value.device)
    grad_offsets = sampling_offsets.new_empty(sampling_offsets.shape)
    grad_logits = attention_logits.new_empty(attention_logits.shape)
    grad_references = log_sums.new_empty(0)
    if reference_grad:  # a part for every head
        levels, coordinates = reference_points.shape[3:]
        grad_references = log_sums.new_empty((*log_sums.shape, levels, coordinates))
    scale = log_sums.new_ones(1)
    if log_sums.numel() > 0:
        if deterministic:
            scale = _fixed_point_scale(grad_output, log_sums)
        references, strides = _references(reference_points)
        sizes, grid = _sizes(value, reference_points, attention_logits)
        with torch.cuda.device_of(value):
            triton_kernels.backward_kernel[grid](
                grad_output.contiguous(),
                output,
                log_sums,
                value.contiguous(),
                references,
                sampling_offsets.contiguous(),
                attention_logits.contiguous(),
                _levels(tuple(spatial_shapes), value.device),
                _int32(tuple(relative_frames), value.device),
                scale,
                grad_value,
                grad_references,
                grad_offsets,
                grad_logits,
                *strides,
                first_frame,
                frames,
                queries,
                *value.shape[1:3],
                **sizes,
                REFERENCE_GRAD=reference_grad,
                DETERMINISTIC=deterministic,
                **COMPILER_OPTIONS,
            )
    if deterministic:
        grad_value = grad_value.to(torch.float32) / scale
    if reference_grad:
        grad_references = grad_references.sum(3)
    return (
        grad_value.to(value.dtype),
        grad_references.to(reference_points.dtype),
        grad_offsets,
        grad_logits,
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
    reference_shape = reference_points.shape if reference_grad else (0,)
    return (
        value.new_empty(value.shape),
        reference_points.new_empty(reference_shape),
        sampling_offsets.new_empty(sampling_offsets.shape),
        attention_logits.new_empty(attention_logits.shape),
    )


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


def _fixed_point_scale(grad_output: Tensor, log_sums: Tensor) -> Tensor:
    """The power of two, (1,), by which gradients of the values become integers.

    Integers give the same sum in any order. Weights and bilinear shares of a query add
    up to 1 at most, so no sum exceeds the largest gradient times the number of queries
    of a clip; the scale takes that bound to 2**62. For 2**15 queries a contribution is
    exact to 2**-47 of the largest gradient, where a float32 sum is exact to 2**-24 of
    itself. What is not finite shows in the gradient of every value.
    """
    queries = log_sums.shape[1] * log_sums.shape[2]
    largest = grad_output.abs().amax().float()
    exponent = 62 - (queries - 1).bit_length() - torch.frexp(largest).exponent
    scale = torch.ldexp(torch.ones_like(largest), exponent.clamp(max=126))
    is_finite = largest.isfinite() & ~log_sums.isnan().any()
    return torch.where(is_finite, scale, torch.nan).view(1)


def _check(
    value: Tensor,
    reference_points: Tensor,
    sampling_offsets: Tensor,
    attention_logits: Tensor,
) -> None:
    for tensor in (value, reference_points, sampling_offsets, attention_logits):
        assert tensor.dtype in DTYPES, f"the Triton kernels do not take {tensor.dtype}"
    largest = max(value.shape[2:].numel(), sampling_offsets.shape[2:].numel())
    if largest > _LARGEST_FRAME:
        raise DataError(
            f"One frame has a tensor of {largest} elements, more than the 32-bit "
            "indices of the Triton kernels reach; use smaller images."
        )
    clips, frames = attention_logits.shape[:2]
    if clips * frames > _LARGEST_GRID:
        raise DataError(
            f"{clips} clips of {frames} frames are more than the {_LARGEST_GRID} that "
            "one launch of the Triton kernels takes; use shorter clips."
        )


def _references(reference_points: Tensor) -> tuple[Tensor, tuple[int, ...]]:
    """Reference points with adjacent coordinates, and their other strides.

    Expanded dimensions are not copied.
    """
    if reference_points.stride(-1) != 1:
        reference_points = reference_points.contiguous()
    return reference_points, reference_points.stride()[:-1]


def _sizes(
    value: Tensor, reference_points: Tensor, attention_logits: Tensor
) -> tuple[dict[str, int | bool], tuple[int, int, int]]:
    """What both kernels are compiled for, and the grid."""
    clips, frames, queries, heads, relatives, levels, points = attention_logits.shape
    block_queries, block_channels = tile(value.shape[-1])
    sizes = dict(
        R=relatives,
        L=levels,
        P=points,
        M=heads,
        D=value.shape[-1],
        BOXES=reference_points.shape[-1] == 4,
        BLOCK_Q=block_queries,
        BLOCK_D=block_channels,
    )
    return sizes, (-(-queries // block_queries), heads, clips * frames)


def tile(channels: int) -> tuple[int, int]:
    """How many queries and channels one program computes, both powers of two."""
    block_channels = _power_of_two(channels)
    return max(_TILE_SIZE // block_channels, 1), block_channels


def _power_of_two(number: int) -> int:
    """The smallest power of two that is no less than a number."""
    return 1 << (number - 1).bit_length()


@functools.lru_cache(maxsize=64)
def _levels(spatial_shapes: tuple[int, ...], device: torch.device) -> Tensor:
    """Height, width and first token of every level, (L, 3), int32."""
    rows, first = [], 0
    for height, width in zip(spatial_shapes[::2], spatial_shapes[1::2], strict=True):
        rows.append((height, width, first))
        first += height * width
    return torch.tensor(rows, dtype=torch.int32).to(device)


@functools.lru_cache(maxsize=64)
def _int32(numbers: tuple[int, ...], device: torch.device) -> Tensor:
    return torch.tensor(numbers, dtype=torch.int32).to(device)
