"""Temporal self-attention of box queries, Section 3.4 of the paper."""

from __future__ import annotations

import torch.nn.functional as F
from mmdet.models.layers import coordinate_to_encoding
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..checks import require_choice, require_heads
from .positional_encoding import (
    FRAME_INDICES,
    temporal_sine_encoding,
    video_sine_encoding,
)


@MODELS.register_module()
class TemporalSelfAttention(BaseModule):
    """Attention of each box query to itself in the other frames of the clip.

    Queries and keys carry the frame's encoding e_t; residual and layer norm follow.

    Args:
        embed_dims: Channels C.
        num_heads: M.
        dropout: Dropout on the attention's weights and on its output.
        frame_index: What e_t encodes: the frame's index in the ``clip`` or in the
            ``video``.
        query_pos: Whether queries and keys carry the learned position of the query.
        reference_pos: Whether queries and keys carry where the query's reference lies
            in the frame, encoded and projected to C channels.
        init_cfg: Initialization config.
    """

    def __init__(
        self,
        embed_dims: int = 256,
        num_heads: int = 8,
        dropout: float = 0.1,
        frame_index: str = "clip",
        query_pos: bool = False,
        reference_pos: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        require_heads(self, embed_dims, num_heads)
        require_choice(self, FRAME_INDICES, frame_index=frame_index)
        self.embed_dims = embed_dims
        self.frame_index = frame_index
        self.query_pos = query_pos
        self.reference_proj = None
        if reference_pos:
            self.reference_proj = nn.Linear(2 * embed_dims, embed_dims)
        self.attn = nn.MultiheadAttention(
            embed_dims, num_heads, dropout, batch_first=True
        )
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(embed_dims)

    def forward(
        self,
        box_query: Tensor,
        *,
        frame_ids: Tensor | None = None,
        query_pos: Tensor | None = None,
        reference: Tensor | None = None,
    ) -> Tensor:
        """Relate the frames of every query.

        Args:
            box_query: (B, T, Q, C).
            frame_ids: (B, T) index of each frame in its video, if it is known.
            query_pos: (Q, C) learned position of the queries.
            reference: (B, T, Q, 2 or 4) in [0, 1], as points or cxcywh.

        Returns:
            Tensor: (B, T, Q, C).
        """
        batch, num_queries = box_query.size(0), box_query.size(2)
        position = self._frame_position(box_query, frame_ids).unsqueeze(-2)
        if self.query_pos:
            assert query_pos is not None
            position = position + query_pos
        if self.reference_proj is not None:
            assert reference is not None
            encoding = reference_encoding(reference, self.embed_dims)
            position = position + self.reference_proj(encoding.to(box_query.dtype))
        tracks, position = (
            x.expand_as(box_query).transpose(1, 2).flatten(0, 1)
            for x in (box_query, position)
        )
        query = tracks + position.to(tracks.dtype)
        attended = self.attn(query, query, tracks, need_weights=False)[0]
        tracks = self.norm(tracks + self.dropout(attended))
        return tracks.unflatten(0, (batch, num_queries)).transpose(1, 2)

    def _frame_position(self, box_query: Tensor, frame_ids: Tensor | None) -> Tensor:
        """e_t: (T, C), or (B, T, C) of the index in the video."""
        num_frames, embed_dims = box_query.size(1), box_query.size(-1)
        if self.frame_index == "video":
            return video_sine_encoding(self, frame_ids, embed_dims)
        return temporal_sine_encoding(num_frames, embed_dims, box_query.device)


def reference_encoding(reference: Tensor, embed_dims: int) -> Tensor:
    """Sine encoding of y, x, w and h, as Deformable DETR encodes its proposals.

    Args:
        reference: (B, T, Q, 2 or 4) in [0, 1], as points or cxcywh.
        embed_dims: C, a multiple of 4; each number takes half as many channels.

    Returns:
        Tensor: (B, T, Q, 2 * C); zeros for the size of points.
    """
    encoding = coordinate_to_encoding(reference.flatten(0, 1), embed_dims // 2)
    encoding = F.pad(encoding, (0, 2 * embed_dims - encoding.size(-1)))
    return encoding.unflatten(0, reference.shape[:2])
