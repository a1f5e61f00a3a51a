"""Inputs of the deformable attention and independent ways to compute it."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch
from torch import Tensor


class Case(NamedTuple):
    """Arguments of the operator, in its order."""

    value: Tensor
    spatial_shapes: Sequence[tuple[int, int]]
    reference_points: Tensor
    sampling_offsets: Tensor
    attention_logits: Tensor
    relative_frames: Sequence[int]
    first_frame: int

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (
            self.value,
            self.reference_points,
            self.sampling_offsets,
            self.attention_logits,
        )

    def to(self, dtype: torch.dtype) -> "Case":
        return self._replace(
            value=self.value.to(dtype),
            reference_points=self.reference_points.to(dtype),
            sampling_offsets=self.sampling_offsets.to(dtype),
            attention_logits=self.attention_logits.to(dtype),
        )

    def with_grad(self) -> "Case":
        tensors = (tensor.detach().requires_grad_() for tensor in self.tensors)
        value, references, offsets, logits = tensors
        return self._replace(
            value=value,
            reference_points=references,
            sampling_offsets=offsets,
            attention_logits=logits,
        )


def make_case(
    relative_frames: Sequence[int] = (0,),
    clips: int = 2,
    value_frames: int = 3,
    frames: int | None = None,
    first_frame: int = 0,
    queries: int = 7,
    heads: int = 2,
    channels: int = 5,
    points: int = 3,
    coordinates: int = 2,
    spatial_shapes: Sequence[tuple[int, int]] = ((4, 6), (2, 3)),
    dtype: torch.dtype = torch.float64,
) -> Case:
    """Random inputs; some samples lie outside the maps."""
    generator = torch.Generator().manual_seed(0)
    frames = value_frames if frames is None else frames
    tokens = sum(height * width for height, width in spatial_shapes)
    queried = (clips, frames, queries)
    sampled = (heads, len(relative_frames), len(spatial_shapes), points)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    references = (*queried, len(spatial_shapes), coordinates)
    return Case(
        normal(clips, value_frames, tokens, heads, channels),
        spatial_shapes,
        torch.rand(references, generator=generator, dtype=torch.float64),
        normal(*queried, *sampled, 2) * 2,
        normal(*queried, *sampled),
        relative_frames,
        first_frame,
    ).to(dtype)


def attention_by_loops(case: Case) -> Tensor:
    """The definition, one sample after the other."""
    clips, frames, queries, heads, _, levels, points = case.attention_logits.shape
    value_frames, channels = case.value.shape[1], case.value.shape[-1]
    output = case.value.new_zeros(clips, frames, queries, heads, channels)
    for b, t, q, m in itertools.product(*map(range, (clips, frames, queries, heads))):
        samples = []
        for r, relative in enumerate(case.relative_frames):
            source = case.first_frame + t + relative
            if not 0 <= source < value_frames:
                continue
            for level, p in itertools.product(range(levels), range(points)):
                logit = case.attention_logits[b, t, q, m, r, level, p].item()
                x, y = _location(case, (b, t, q, m, r, level, p))
                sampled = _bilinear(case, (b, source, m), level, x, y)
                samples.append((math.exp(logit), sampled))
        total = sum(weight for weight, _ in samples)
        for weight, sampled in samples:
            output[b, t, q, m] += weight / total * sampled
    return output.flatten(3)


def _location(case: Case, index: tuple[int, ...]) -> tuple[float, float]:
    """Position of a sample in pixels, the centre of the first pixel being 0."""
    b, t, q, _, _, level, _ = index
    points = case.sampling_offsets.shape[-2]
    reference = case.reference_points[b, t, q, level].tolist()
    offset = case.sampling_offsets[index].tolist()
    height, width = case.spatial_shapes[level]
    position = []
    for axis, size in enumerate((width, height)):
        if len(reference) == 2:
            location = reference[axis] + offset[axis] / size
        else:
            extent = reference[2 + axis]
            location = reference[axis] + offset[axis] / points * extent / 2
        position.append(location * size - 0.5)
    return position[0], position[1]


def _bilinear(
    case: Case, source: tuple[int, int, int], level: int, x: float, y: float
) -> Tensor:
    clip, frame, head = source
    height, width = case.spatial_shapes[level]
    start = sum(h * w for h, w in case.spatial_shapes[:level])
    result = case.value.new_zeros(case.value.shape[-1])
    for row, column in itertools.product(
        (math.floor(y), math.floor(y) + 1), (math.floor(x), math.floor(x) + 1)
    ):
        if 0 <= row < height and 0 <= column < width:
            weight = (1 - abs(x - column)) * (1 - abs(y - row))
            token = start + row * width + column
            result += weight * case.value[clip, frame, token, head]
    return result


def attention_by_mmcv(case: Case) -> Tensor:
    """mmcv's PyTorch function per query frame and frame that exists; differentiable."""
    outputs = []
    for t in range(case.attention_logits.shape[1]):
        sources = [case.first_frame + t + relative for relative in case.relative_frames]
        present = [
            r for r, source in enumerate(sources) if 0 <= source < case.value.shape[1]
        ]
        logits = case.attention_logits[:, t, :, :, present]
        weights = logits.flatten(3).softmax(-1).view(logits.shape)
        total = sum(
            multi_scale_deformable_attn_pytorch(
                case.value[:, sources[r]],
                case.spatial_shapes,
                _locations(case, t, r),
                weights[:, :, :, i],
            )
            for i, r in enumerate(present)
        )
        outputs.append(total)
    return torch.stack(outputs, 1)


def _locations(case: Case, t: int, r: int) -> Tensor:
    references = case.reference_points[:, t, :, None, :, None]
    offsets = case.sampling_offsets[:, t, :, :, r]
    if references.shape[-1] == 4:
        scaled = offsets / offsets.shape[-2] * references[..., 2:] * 0.5
        return references[..., :2] + scaled
    sizes = offsets.new_tensor([(w, h) for h, w in case.spatial_shapes])
    return references + offsets / sizes[:, None]
