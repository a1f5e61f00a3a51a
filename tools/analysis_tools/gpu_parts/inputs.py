"""Inputs of deformable attention, its backends, and what a call has to move."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmtaformer.ops import cuda_attention, grid_sample_attention, triton_attention
from mmtaformer.ops.composed_attention import composed_attention

# Frames of 360 x 640 at strides 8, 16, 32 and 64.
PAPER_LEVELS = ((45, 80), (23, 40), (12, 20), (6, 10))
DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


@dataclass(frozen=True)
class Shape:
    """Sizes of a call, in the notation of the operator's docstring."""

    name: str
    frames: int
    levels: Sequence[tuple[int, int]]
    relative_frames: Sequence[int]
    queries: int | None = None  # None: every token, as in the encoder
    coordinates: int = 2
    clips: int = 1
    heads: int = 8
    channels: int = 32
    points: int = 4

    @property
    def tokens(self) -> int:
        return sum(height * width for height, width in self.levels)

    @property
    def rows(self) -> int:
        """Queries times heads of all frames and clips."""
        queries = self.queries or self.tokens
        return self.clips * self.frames * queries * self.heads

    @property
    def samples(self) -> int:
        """Samples of a query and head, R * L * P."""
        return len(self.relative_frames) * len(self.levels) * self.points

    def least_bytes(self, value_size: int, backward: bool) -> int:
        """What has to be read and written when nothing is stored in between.

        Forward: values, offsets, logits, references, output and log-sum. Backward: the
        same again with the gradient of each, that of the values in float32.
        """
        values = self.clips * self.frames * self.tokens * self.heads * self.channels
        outputs = self.rows * self.channels
        projections = 3 * self.rows * self.samples
        references = self.rows // self.heads * len(self.levels) * self.coordinates
        once = (values + outputs + projections) * value_size
        total = once + 4 * (references + self.rows)
        return total + (2 * total + outputs * value_size if backward else 0)

    def least_flop(self, backward: bool) -> int:
        """Multiplications and additions of the bilinear samples alone.

        Four corners, each multiplied and added; backward each is used for a scalar
        product with the gradient and for the gradient of the value.
        """
        forward = 8 * self.rows * self.samples * self.channels
        return 3 * forward if backward else forward


@dataclass(frozen=True)
class Inputs:
    """Tensors and sizes of a call, in the operator's order."""

    tensors: tuple[Tensor, Tensor, Tensor, Tensor]
    levels: Sequence[tuple[int, int]]
    relative_frames: Sequence[int]

    def to(self, device: str, dtype: torch.dtype, references: torch.dtype) -> "Inputs":
        """On a device; reference points keep a dtype of their own, as in the model."""
        dtypes = (dtype, references, dtype, dtype)
        tensors = tuple(
            tensor.detach().to(device, wanted)
            for tensor, wanted in zip(self.tensors, dtypes, strict=True)
        )
        return Inputs(tensors, self.levels, self.relative_frames)

    def require_grad(self) -> None:
        for tensor in self.tensors:
            tensor.requires_grad_()


def make_inputs(shape: Shape, seed: int = 0) -> Inputs:
    """Random inputs on the CPU; some samples lie outside the maps."""
    generator = torch.Generator().manual_seed(seed)
    queries = shape.queries or shape.tokens
    rows = (shape.clips, shape.frames, queries)
    sampled = (shape.heads, len(shape.relative_frames), len(shape.levels), shape.points)

    def normal(*size: int) -> Tensor:
        return torch.randn(size, generator=generator)

    values = (shape.clips, shape.frames, shape.tokens, shape.heads, shape.channels)
    references = torch.rand(
        (*rows, len(shape.levels), shape.coordinates), generator=generator
    )
    tensors = (
        normal(*values),
        references,
        2 * normal(*rows, *sampled, 2),
        normal(*rows, *sampled),
    )
    return Inputs(tensors, shape.levels, shape.relative_frames)


def by_triton(inputs: Inputs) -> Tensor:
    """The operator by its Triton kernels."""
    sizes = [size for level in inputs.levels for size in level]
    return triton_attention.attention(
        *inputs.tensors, sizes, list(inputs.relative_frames), 0
    )[0]


def by_mmcv(inputs: Inputs) -> Tensor:
    """The operator by mmcv's kernel, once per relative frame."""
    return _composed(inputs, cuda_attention.multi_scale_attention)


def by_grid_sample(inputs: Inputs) -> Tensor:
    """The operator by PyTorch's grid_sample, once per relative frame and level."""
    return _composed(inputs, grid_sample_attention.multi_scale_attention)


def _composed(inputs: Inputs, function: Callable[..., Tensor]) -> Tensor:
    value, *others = inputs.tensors
    return composed_attention(
        value, inputs.levels, *others, inputs.relative_frames, 0, function
    )


# Backend -> function and the dtypes of values that it does not cast.
BACKENDS: dict[str, tuple[Callable[[Inputs], Tensor], Sequence[str]]] = {
    "mmcv": (by_mmcv, ("float32",)),
    "triton": (by_triton, ("float32", "float16", "bfloat16")),
    "grid_sample": (by_grid_sample, ("float32",)),
}


def available_backends(device: str) -> list[str]:
    """Those that can compute on the device; mmcv's kernel computes on GPUs alone."""
    names = list(BACKENDS)
    if not device.startswith("cuda"):
        names.remove("mmcv")
    return names
