"""Temporal self-attention of box queries, Section 3.4 of the paper."""

from __future__ import annotations

from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..checks import require_heads
from .positional_encoding import temporal_sine_encoding


@MODELS.register_module()
class TemporalSelfAttention(BaseModule):
    """Attention of each box query to itself in the other frames of the clip.

    Queries and keys carry the frame's encoding e_t; residual and layer norm follow.

    Args:
        embed_dims: Channels C.
        num_heads: M.
        dropout: Dropout on the attention's weights and on its output.
        init_cfg: Initialization config.
    """

    def __init__(
        self,
        embed_dims: int = 256,
        num_heads: int = 8,
        dropout: float = 0.1,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        require_heads(self, embed_dims, num_heads)
        self.embed_dims = embed_dims
        self.attn = nn.MultiheadAttention(
            embed_dims, num_heads, dropout, batch_first=True
        )
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(embed_dims)

    def forward(self, box_query: Tensor) -> Tensor:
        """Relate the frames of every query: (B, T, Q, C) to the same shape."""
        batch, num_frames, num_queries, embed_dims = box_query.shape
        tracks = box_query.transpose(1, 2).flatten(0, 1)
        encoding = temporal_sine_encoding(num_frames, embed_dims, box_query.device)
        query = tracks + encoding.to(tracks.dtype)
        attended = self.attn(query, query, tracks, need_weights=False)[0]
        tracks = self.norm(tracks + self.dropout(attended))
        return tracks.unflatten(0, (batch, num_queries)).transpose(1, 2)
