"""Temporal self-attention of box queries, Section 3.4 of the paper."""

from __future__ import annotations

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
        init_cfg: Initialization config.
    """

    def __init__(
        self,
        embed_dims: int = 256,
        num_heads: int = 8,
        dropout: float = 0.1,
        frame_index: str = "clip",
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        require_heads(self, embed_dims, num_heads)
        require_choice(self, FRAME_INDICES, frame_index=frame_index)
        self.embed_dims = embed_dims
        self.frame_index = frame_index
        self.attn = nn.MultiheadAttention(
            embed_dims, num_heads, dropout, batch_first=True
        )
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(embed_dims)

    def forward(self, box_query: Tensor, frame_ids: Tensor | None = None) -> Tensor:
        """Relate the frames of every query.

        Args:
            box_query: (B, T, Q, C).
            frame_ids: (B, T) index of each frame in its video, if it is known.

        Returns:
            Tensor: (B, T, Q, C).
        """
        batch, num_frames, num_queries, embed_dims = box_query.shape
        tracks = box_query.transpose(1, 2).flatten(0, 1)
        if self.frame_index == "video":
            encoding = video_sine_encoding(self, frame_ids, embed_dims)
            encoding = encoding.repeat_interleave(num_queries, dim=0)
        else:
            encoding = temporal_sine_encoding(num_frames, embed_dims, box_query.device)
        query = tracks + encoding.to(tracks.dtype)
        attended = self.attn(query, query, tracks, need_weights=False)[0]
        tracks = self.norm(tracks + self.dropout(attended))
        return tracks.unflatten(0, (batch, num_queries)).transpose(1, 2)
