"""Spatio-temporal positional encoding, Eq. (6) of the paper."""

from __future__ import annotations

import torch
from mmdet.models.layers import SinePositionalEncoding
from mmdet.registry import MODELS
from torch import Tensor


def temporal_sine_encoding(
    num_frames: int, embed_dims: int, device: torch.device | str | None = None
) -> Tensor:
    """Sine encoding of the frame index, for clips of any length.

    Channel 2i is sin(t / 10000^(2i / C)), channel 2i + 1 the cosine of the same.

    Args:
        num_frames: T.
        embed_dims: C, an even number.
        device: where the result lies.

    Returns:
        Tensor: (T, C).
    """
    frames = torch.arange(num_frames, dtype=torch.float32, device=device)
    exponents = torch.arange(0, embed_dims, 2, dtype=torch.float32, device=device)
    angles = frames[:, None] / 10000 ** (exponents / embed_dims)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


@MODELS.register_module()
class SpatioTemporalPositionalEncoding(SinePositionalEncoding):
    """2-D sine encoding of the position plus sine encoding of the frame index.

    The spatial half is mmdet's :class:`SinePositionalEncoding` with its arguments.

    Args:
        temporal: Whether to encode the frame index. SeqFormer does not.
            Defaults to True.
    """

    def __init__(self, *args, temporal: bool = True, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.temporal = temporal

    def encode_frames(self, num_frames: int, device: torch.device) -> Tensor | None:
        """Encoding e_t of the frame index: (T, C), or None without it."""
        if not self.temporal:
            return None
        return temporal_sine_encoding(num_frames, 2 * self.num_feats, device)
