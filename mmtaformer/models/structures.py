"""Containers that flow between the parts of the model."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class ClipFeatures:
    """Multi-level features of a batch of clips, flattened to tokens.

    Attributes:
        tokens: (B, T, S, C), the levels concatenated, each row-major;
            S = sum of H_l * W_l.
        spatial_shapes: (H_l, W_l) of every level.
        spatial_pos: (B, S, C) spatial and level encoding, the same in all frames.
        temporal_pos: (T, C) encoding of the frame index, or None.
        valid_ratios: (B, L, 2) part of the (width, height) of each level that the
            unpadded image covers.
        padding_mask: (B, S) bool, True on padding, or None if nothing is padded.
    """

    tokens: Tensor
    spatial_shapes: tuple[tuple[int, int], ...]
    spatial_pos: Tensor
    temporal_pos: Tensor | None
    valid_ratios: Tensor
    padding_mask: Tensor | None

    @property
    def num_frames(self) -> int:
        return self.tokens.size(1)

    def with_tokens(self, tokens: Tensor) -> ClipFeatures:
        """The same geometry around other ``tokens`` (B, T, S, C)."""
        return replace(self, tokens=tokens)

    def position(self, first: int = 0, last: int | None = None) -> Tensor:
        """Spatio-temporal encoding of frames ``first`` to ``last``, Eq. (6).

        Returns:
            Tensor: (B, frames or 1, S, C), ready to be broadcast over frames.
        """
        pos = self.spatial_pos.unsqueeze(1)
        if self.temporal_pos is not None:
            pos = pos + self.temporal_pos[first:last, None]
        return pos

    def level_maps(self, num_levels: int, first: int = 0, last: int | None = None):
        """The ``num_levels`` finest levels of some frames as images.

        Returns:
            list[Tensor]: one (B * frames, C, H_l, W_l) view per level.
        """
        sizes = [h * w for h, w in self.spatial_shapes]
        frames = self.tokens[:, first:last].flatten(0, 1)
        levels = frames.split(sizes, dim=1)[:num_levels]
        return [
            level.transpose(1, 2).unflatten(2, shape)
            for level, shape in zip(levels, self.spatial_shapes, strict=False)
        ]


@dataclass(frozen=True)
class DecoderLayerOutput:
    """What one decoder layer leaves for the head.

    Attributes:
        instance_query: (B, Q, C) one embedding per instance and clip.
        box_query: (B, T, Q, C) one embedding per instance and frame.
        reference: (B, T, Q, 2 or 4) in [0, 1] of the unpadded image: the reference
            that went into the layer.
        boxes: (B, T, Q, 4) cxcywh in [0, 1] of the unpadded image.
    """

    instance_query: Tensor
    box_query: Tensor
    reference: Tensor
    boxes: Tensor


def encoder_reference_points(
    spatial_shapes: tuple[tuple[int, int], ...], valid_ratios: Tensor
) -> Tensor:
    """Pixel centres of every token, in [0, 1] of each padded level.

    Args:
        spatial_shapes: (H_l, W_l) of every level.
        valid_ratios: (B, L, 2) as (width, height).

    Returns:
        Tensor: (B, S, L, 2) as (x, y).
    """
    centres = []
    for level, (height, width) in enumerate(spatial_shapes):
        y, x = torch.meshgrid(
            torch.arange(height, device=valid_ratios.device) + 0.5,
            torch.arange(width, device=valid_ratios.device) + 0.5,
            indexing="ij",
        )
        size = valid_ratios.new_tensor([width, height])
        grid = torch.stack([x, y], dim=-1).view(1, -1, 2)
        centres.append(grid / (valid_ratios[:, level] * size).unsqueeze(1))
    return torch.cat(centres, dim=1).unsqueeze(2) * valid_ratios.unsqueeze(1)
