"""Spatio-temporal multi-scale deformable attention (Eqs. 1 and 2 of the paper)."""

from collections.abc import Sequence

from torch import Tensor

from . import (
    cpu_attention,
    cuda_attention,
    grid_sample_attention,
    triton_attention,
)
from .backends import choose_backend
from .composed_attention import composed_attention


def spatio_temporal_deformable_attention(
    value: Tensor,
    spatial_shapes: Sequence[tuple[int, int]],
    reference_points: Tensor,
    sampling_offsets: Tensor,
    attention_logits: Tensor,
    relative_frames: Sequence[int],
    first_frame: int = 0,
) -> Tensor:
    """Sample every level of neighbouring frames around reference points.

    The spatial branch of the encoder (Eq. 1) and the decoder's cross-attention have
    ``relative_frames=(0,)``, the temporal branch (Eq. 2) has (-d, ..., -1, 1, ..., d).
    The softmax covers all samples of a query and head in the frames that exist; a
    query with no such frame gets exactly zero. Sampling is bilinear, zero outside the
    map, pixel centres at half integers, as in mmcv's ``multi_scale_deformable_attn``.

    :mod:`mmtaformer.ops.backends` says what computes it. All backends compute in
    float32, or in float64 if a tensor has it; ``triton`` alone reads half precision as
    it is. Under many queries the CPU copies ``value``, unless it is the transpose of a
    contiguous (B, Tv, M, S, D).

    Args:
        value: (B, Tv, S, M, D), projected values; S = sum of H_l * W_l, levels
            concatenated row-major. Padded tokens have to be zeroed before.
        spatial_shapes: (H_l, W_l) of the L levels.
        reference_points: (B, Tq, Lq, L, 2), x and y in [0, 1] of the padded map, or
            (B, Tq, Lq, L, 4), boxes cxcywh likewise. Dimensions may be expanded.
        sampling_offsets: (B, Tq, Lq, M, R, L, P, 2). Location = xy + offset / (W_l,
            H_l) for points, xy + offset / P * wh / 2 for boxes.
        attention_logits: (B, Tq, Lq, M, R, L, P), before the softmax over R * L * P.
        relative_frames: The R frames that a query samples, relative to its own.
        first_frame: Query frame i is value frame ``first_frame + i``.

    Returns:
        (B, Tq, Lq, M*D), of the dtype of ``value``.

    Raises:
        ValueError: If shapes, devices or dtypes contradict each other.
        UsageError: If a backend is named that cannot compute with these tensors.
    """
    shapes = [(int(height), int(width)) for height, width in spatial_shapes]
    tensors = (value, reference_points, sampling_offsets, attention_logits)
    _check(*tensors, shapes, relative_frames)
    backend = choose_backend(*tensors)
    if backend in ("cpu", "triton"):
        sizes = [size for shape in shapes for size in shape]
        arguments = (*tensors, sizes, list(relative_frames), first_frame)
        if backend == "cpu":
            return cpu_attention.attention(*arguments)
        return triton_attention.attention(*arguments)[0]
    return composed_attention(
        value,
        shapes,
        reference_points,
        sampling_offsets,
        attention_logits,
        relative_frames,
        first_frame,
        cuda_attention.multi_scale_attention
        if backend == "mmcv"
        else grid_sample_attention.multi_scale_attention,
    )


def _check(
    value: Tensor,
    reference_points: Tensor,
    sampling_offsets: Tensor,
    attention_logits: Tensor,
    spatial_shapes: Sequence[tuple[int, int]],
    relative_frames: Sequence[int],
) -> None:
    if value.dim() != 5 or attention_logits.dim() != 7:
        raise ValueError(
            "value must be (B, Tv, S, M, D) and attention_logits (B, Tq, Lq, M, R, L, "
            f"P), got {tuple(value.shape)} and {tuple(attention_logits.shape)}."
        )
    clips, frames, queries, heads, relatives, levels, _ = attention_logits.shape
    tokens = sum(height * width for height, width in spatial_shapes)
    expected = {
        "value": (value, (clips, None, tokens, heads, None)),
        "reference_points": (reference_points, (clips, frames, queries, levels, None)),
        "sampling_offsets": (sampling_offsets, (*attention_logits.shape, 2)),
    }
    for name, (tensor, shape) in expected.items():
        matches = tensor.dim() == len(shape) and all(
            wanted is None or size == wanted
            for size, wanted in zip(tensor.shape, shape, strict=True)
        )
        if not matches:
            sizes = ", ".join("any" if size is None else str(size) for size in shape)
            raise ValueError(
                f"{name} has shape {tuple(tensor.shape)}, but attention_logits "
                f"{tuple(attention_logits.shape)} and spatial_shapes "
                f"{list(spatial_shapes)} ask for ({sizes})."
            )
        if tensor.device != attention_logits.device or not tensor.is_floating_point():
            raise ValueError(
                f"{name} is {tensor.dtype} on {tensor.device}; all tensors must be "
                f"floating point on {attention_logits.device}, as attention_logits."
            )
    if reference_points.shape[-1] not in (2, 4):
        raise ValueError(
            "reference_points must end in 2 (x, y) or 4 (cx, cy, w, h) numbers, got "
            f"shape {tuple(reference_points.shape)}."
        )
    if (levels, relatives) != (len(spatial_shapes), len(relative_frames)):
        raise ValueError(
            f"attention_logits has {relatives} relative frames and {levels} levels, "
            f"but relative_frames is {tuple(relative_frames)} and spatial_shapes has "
            f"{len(spatial_shapes)} levels."
        )
