"""From multi-level maps of frames to tokens of clips, and what padding does to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..structures import frame_windows


def flatten_maps(maps: Sequence[Tensor], batch_size: int) -> Tensor:
    """Flatten L maps (B * T, C, H_l, W_l), clip-major, to tokens (B, T, S, C)."""
    levels = [level.flatten(2).transpose(1, 2) for level in maps]
    return torch.cat(levels, dim=1).unflatten(0, (batch_size, -1))


def clip_tokens(
    extract_feat: Callable[[Tensor], Sequence[Tensor]],
    inputs: Tensor,
    frames_per_chunk: int | None = None,
) -> tuple[Tensor, tuple[tuple[int, int], ...]]:
    """Extract the tokens of clips, some frames at a time.

    Args:
        extract_feat: From (N, 3, H, W) frames to L maps (N, C, H_l, W_l).
        inputs: (B, T, 3, H, W), T at least 1.
        frames_per_chunk: How many frames of each clip pass at a time; None: all.

    Returns:
        tuple: Tokens (B, T, S, C) and (H_l, W_l) of every level.
    """
    batch_size, num_frames = inputs.shape[:2]
    tokens = None  # of all frames, so that none is held twice
    for frames in frame_windows(num_frames, frames_per_chunk):
        maps = extract_feat(inputs[:, frames].flatten(0, 1))
        part = flatten_maps(maps, batch_size)
        if part.size(1) == num_frames:
            tokens = part
            break
        if tokens is None:
            tokens = part.new_empty(batch_size, num_frames, *part.shape[2:])
        tokens[:, frames] = part
    assert tokens is not None, "clips without frames"
    return tokens, tuple((level.size(-2), level.size(-1)) for level in maps)


def level_mask(padding_mask: Tensor, shape: tuple[int, int]) -> Tensor:
    """Padding of one level: (B, H, W) bool of the images to (B, H_l, W_l) bool."""
    return F.interpolate(padding_mask[None].float(), size=shape)[0].bool()


def valid_ratio(mask: Tensor) -> Tensor:
    """(B, 2) part of the (width, height) of a (B, H, W) mask that is not padding."""
    height, width = mask.shape[-2:]
    valid_height = (~mask[:, :, 0]).sum(dim=1) / height
    valid_width = (~mask[:, 0]).sum(dim=1) / width
    return torch.stack([valid_width, valid_height], dim=-1)
