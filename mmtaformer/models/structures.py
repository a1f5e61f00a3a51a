"""Containers that flow between the parts of the model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor


def frame_windows(num_frames: int, frames_per_chunk: int | None) -> Iterator[slice]:
    """Cut ``num_frames`` frames into runs of at most ``frames_per_chunk``.

    Args:
        num_frames: T.
        frames_per_chunk: Length of a run; None makes one of all frames.
    """
    step = frames_per_chunk or num_frames
    for first in range(0, num_frames, step):
        yield slice(first, min(first + step, num_frames))


@dataclass(frozen=True)
class ClipFeatures:
    """Multi-level features of a batch of clips, flattened to tokens.

    Attributes:
        tokens: (B, T, S, C), the levels concatenated, each row-major;
            S = sum of H_l * W_l.
        spatial_shapes: (H_l, W_l) of every level.
        spatial_pos: (B or 1, S, C) spatial and level encoding, the same in all frames.
        temporal_pos: (T, C) or (B, T, C) encoding of the frame index, or None.
        reference_points: (B, S, L, 2) as (x, y), where each token lies in [0, 1] of
            every padded level.
        valid_ratios: (B, L, 2) part of the (width, height) of each level that the
            unpadded image covers.
        padding_mask: (B, S) bool, True on padding, or None if nothing is padded.
        frames_per_chunk: How many frames are worked on at a time, which bounds memory
            on long videos; results do not depend on it. None: all at once. Anything
            else only works without gradients.
        frame_ids: (B, T) index of each frame in its video, or None if it is not known.
    """

    tokens: Tensor
    spatial_shapes: tuple[tuple[int, int], ...]
    spatial_pos: Tensor
    temporal_pos: Tensor | None
    reference_points: Tensor
    valid_ratios: Tensor
    padding_mask: Tensor | None = None
    frames_per_chunk: int | None = None
    frame_ids: Tensor | None = None

    @property
    def num_frames(self) -> int:
        """T."""
        return self.tokens.size(1)

    @property
    def position(self) -> Tensor:
        """Spatio-temporal encoding, Eq. (6): (B or 1, T or 1, S, C)."""
        pos = self.spatial_pos.unsqueeze(1)
        if self.temporal_pos is not None:
            pos = pos + self.temporal_pos[..., None, :]
        return pos

    @property
    def in_one_window(self) -> bool:
        """Whether :meth:`windows` yields all frames at once."""
        step = self.frames_per_chunk
        return step is None or step >= self.num_frames

    def with_tokens(self, tokens: Tensor) -> ClipFeatures:
        """Put the same geometry around other ``tokens`` (B, T, S, C)."""
        return replace(self, tokens=tokens)

    def select(self, frames: slice) -> ClipFeatures:
        """Views of some frames of the clip."""
        times, ids = self.temporal_pos, self.frame_ids
        return replace(
            self,
            tokens=self.tokens[:, frames],
            temporal_pos=None if times is None else times[..., frames, :],
            frame_ids=None if ids is None else ids[:, frames],
        )

    def windows(self, halo: int = 0) -> Iterator[FrameWindow]:
        """Cut the clip into windows of ``frames_per_chunk`` frames.

        Each window is asked for when the last one is done with, and may then overwrite
        its own frames in the tokens of the clip: what the next window still has to
        see of them was kept.

        Args:
            halo: How many frames before and after a window come along with it.
        """
        before = self.tokens[:, :0]  # as they were before their window was done
        for frames in frame_windows(self.num_frames, self.frames_per_chunk):
            kept = before.size(1)
            around = slice(
                frames.start - kept, min(frames.stop + halo, self.num_frames)
            )
            features = self.select(around)
            if kept:
                rest = self.tokens[:, frames.start : around.stop]
                features = features.with_tokens(torch.cat([before, rest], dim=1))
            inner = slice(kept, kept + frames.stop - frames.start)
            if frames.stop < self.num_frames and halo:
                last = slice(max(inner.stop - halo, 0), inner.stop)
                before = features.tokens[:, last].clone()
            yield FrameWindow(frames, features, inner)

    def level_maps(self, num_levels: int) -> list[Tensor]:
        """View the ``num_levels`` finest levels as images: (B * T, C, H_l, W_l)."""
        sizes = [height * width for height, width in self.spatial_shapes]
        levels = self.tokens.flatten(0, 1).split(sizes, dim=1)[:num_levels]
        return [
            level.transpose(1, 2).unflatten(2, shape)
            for level, shape in zip(levels, self.spatial_shapes, strict=False)
        ]


@dataclass(frozen=True)
class FrameWindow:
    """Some frames of a clip, with those around them.

    Attributes:
        frames: Which frames of the clip they are.
        features: Of these frames and their neighbours.
        inner: Which frames of ``features`` they are.
    """

    frames: slice
    features: ClipFeatures
    inner: slice


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
