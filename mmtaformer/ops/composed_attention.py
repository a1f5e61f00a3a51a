"""The attention composed of multi-scale deformable attentions (CUDA, other devices).

The operator is linear in its attention weights: normalized by one softmax over all
relative frames, it is the sum over the relative frames of one multi-scale deformable
attention each, between frames t and t + r. Shifting along time is a slice.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

# Rows of a softmax that are shorter do not fill a vector of AVX-512.
_SOFTMAX_VECTOR = 16

# (value (N, S, M, D), spatial shapes, locations (N, Lq, M, L, P, 2), weights
# (N, Lq, M, L, P)) -> (N, Lq, M*D), as mmcv's multi_scale_deformable_attn_pytorch.
MultiScaleAttention = Callable[
    [Tensor, Sequence[tuple[int, int]], Tensor, Tensor], Tensor
]


def compute_dtype(*tensors: Tensor) -> torch.dtype:
    """float64 if one of the tensors has it, else float32.

    In half precision a location is wrong by a tenth of a pixel, and mmcv's CUDA kernel
    has no bfloat16.
    """
    is_double = any(tensor.dtype == torch.float64 for tensor in tensors)
    return torch.float64 if is_double else torch.float32


def composed_attention(
    value: Tensor,
    spatial_shapes: Sequence[tuple[int, int]],
    reference_points: Tensor,
    sampling_offsets: Tensor,
    attention_logits: Tensor,
    relative_frames: Sequence[int],
    first_frame: int,
    multi_scale_attention: MultiScaleAttention,
) -> Tensor:
    """Sum of ``multi_scale_attention`` over the relative frames.

    The other arguments and the result are those of
    :func:`mmtaformer.ops.spatio_temporal_deformable_attention`.
    """
    dtype = compute_dtype(value, reference_points, sampling_offsets, attention_logits)
    frames = attention_logits.shape[1]
    spans = existing_frames(frames, value.shape[1], relative_frames, first_frame)
    weights = normalized_weights(attention_logits.to(dtype), spans)
    scale, origin = _location_terms(
        reference_points.to(dtype), spatial_shapes, sampling_offsets.shape[-2]
    )
    values = value.to(dtype)
    clips, _, queries, heads = attention_logits.shape[:4]
    output = values.new_zeros((clips, frames, queries, heads * value.shape[-1]))
    for r, (start, stop) in enumerate(spans):
        if start == stop:
            continue
        shift = first_frame + relative_frames[r]
        offsets = sampling_offsets[:, start:stop, :, :, r].to(dtype)
        locations = origin[:, start:stop] + offsets * scale[:, start:stop]
        part = multi_scale_attention(
            values[:, start + shift : stop + shift].flatten(0, 1),
            spatial_shapes,
            locations.flatten(0, 1),
            weights[:, start:stop, :, :, r].flatten(0, 1),
        )
        output[:, start:stop] += part.view(clips, stop - start, queries, -1)
    return output.to(value.dtype)


def existing_frames(
    frames: int, value_frames: int, relative_frames: Sequence[int], first_frame: int
) -> list[tuple[int, int]]:
    """For each relative frame the query frames, as start and stop, that have it.

    Query frame i has relative frame r if i + first_frame + r is a value frame.
    """
    spans = []
    for relative in relative_frames:
        shift = first_frame + relative
        start = min(max(-shift, 0), frames)
        spans.append((start, max(min(value_frames - shift, frames), start)))
    return spans


def missing_parts(tensor: Tensor, spans: Sequence[tuple[int, int]]) -> Iterator[Tensor]:
    """Views of the parts of (B, Tq, Lq, M, R, ...) whose frame does not exist."""
    for r, (start, stop) in enumerate(spans):
        yield tensor[:, :start, :, :, r]
        yield tensor[:, stop:, :, :, r]


def normalized_weights(logits: Tensor, spans: Sequence[tuple[int, int]]) -> Tensor:
    """Softmax over R*L*P of (B, Tq, Lq, M, R, L, P), without missing frames.

    Where no frame exists at all the weights mean nothing, and nobody uses them.
    """
    if any(span != (0, logits.shape[1]) for span in spans):
        logits = logits.clone()
        for part in missing_parts(logits, spans):
            part.fill_(torch.finfo(logits.dtype).min)
    return _softmax(logits.flatten(4)).view(logits.shape)


def _softmax(rows: Tensor) -> Tensor:
    """Softmax over the last dimension.

    On the CPU PyTorch goes number by number through rows that do not fill a vector,
    which took six times as long as these operations.
    """
    if rows.device.type != "cpu" or rows.shape[-1] >= _SOFTMAX_VECTOR:
        return rows.softmax(-1)
    exponentials = (rows - rows.detach().amax(-1, keepdim=True)).exp()
    return exponentials / exponentials.sum(-1, keepdim=True)


def _location_terms(
    reference_points: Tensor, spatial_shapes: Sequence[tuple[int, int]], points: int
) -> tuple[Tensor, Tensor]:
    """Factor and summand, (B, Tq, Lq, 1, L, 1, 2), from offsets to locations."""
    references = reference_points[:, :, :, None, :, None]
    origin = references[..., :2]
    if references.shape[-1] == 4:
        return references[..., 2:] * (0.5 / points), origin
    sizes = [[1 / width, 1 / height] for height, width in spatial_shapes]
    scale = torch.tensor(sizes, dtype=origin.dtype, device=origin.device)
    return scale[:, None].expand(origin.shape), origin
