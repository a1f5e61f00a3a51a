"""Spatio-temporal positional encoding, Eq. (6) of the paper."""

from __future__ import annotations

import torch
from mmdet.models.layers import SinePositionalEncoding
from mmdet.registry import MODELS
from torch import Tensor

from mmtaformer.utils.errors import UsageError

from ..checks import require_choice

FRAME_INDICES = ("clip", "video")


def sine_encoding(positions: Tensor, embed_dims: int) -> Tensor:
    """Sine encoding of numbers.

    Channel 2i is sin(p / 10000^(2i / C)), channel 2i + 1 the cosine of the same.

    Args:
        positions: (...) the numbers p.
        embed_dims: C, an even number.

    Returns:
        Tensor: (..., C) float32.
    """
    exponents = torch.arange(
        0, embed_dims, 2, dtype=torch.float32, device=positions.device
    )
    angles = positions[..., None].float() / 10000 ** (exponents / embed_dims)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)


def temporal_sine_encoding(
    num_frames: int, embed_dims: int, device: torch.device | str | None = None
) -> Tensor:
    """Sine encoding of the frame index in the clip, for clips of any length.

    Args:
        num_frames: T.
        embed_dims: C, an even number.
        device: where the result lies.

    Returns:
        Tensor: (T, C).
    """
    frames = torch.arange(num_frames, dtype=torch.float32, device=device)
    return sine_encoding(frames, embed_dims)


def video_sine_encoding(
    owner: object, frame_ids: Tensor | None, embed_dims: int
) -> Tensor:
    """Sine encoding of the frame index in the video.

    Args:
        owner: The part that asks for it, for the message.
        frame_ids: (B, T) index of each frame in its video; None if it is not known.
        embed_dims: C, an even number.

    Returns:
        Tensor: (B, T, C).

    Raises:
        UsageError: If the indices are not known.
    """
    if frame_ids is None:
        raise UsageError(
            f"{type(owner).__name__} has frame_index='video', but the frames come "
            "without 'frame_id': keep it among the meta keys of PackTrackInputs, or "
            "set frame_index='clip'."
        )
    return sine_encoding(frame_ids, embed_dims)


@MODELS.register_module()
class SpatioTemporalPositionalEncoding(SinePositionalEncoding):
    """2-D sine encoding of the position plus sine encoding of the frame index.

    The spatial half is mmdet's :class:`SinePositionalEncoding` with its arguments.

    Args:
        temporal: Whether to encode the frame index. SeqFormer does not.
            Defaults to True.
        frame_index: Where frames are counted: in the ``clip``, from 0 to T - 1, or in
            the ``video``, so that gaps between the frames of a clip can be seen.
            Defaults to ``clip``.
    """

    def __init__(
        self, *args, temporal: bool = True, frame_index: str = "clip", **kwargs
    ) -> None:
        super().__init__(*args, **kwargs)
        require_choice(self, FRAME_INDICES, frame_index=frame_index)
        self.temporal = temporal
        self.frame_index = frame_index

    def encode_frames(
        self, num_frames: int, device: torch.device, frame_ids: Tensor | None = None
    ) -> Tensor | None:
        """Encoding e_t of the frame index.

        Args:
            num_frames: T.
            device: where the result lies.
            frame_ids: (B, T) index of each frame in its video, if it is known.

        Returns:
            Tensor | None: (T, C), or (B, T, C) of the index in the video, or None
            without the encoding.
        """
        embed_dims = 2 * self.num_feats
        if not self.temporal:
            return None
        if self.frame_index == "video":
            return video_sine_encoding(self, frame_ids, embed_dims)
        return temporal_sine_encoding(num_frames, embed_dims, device)
