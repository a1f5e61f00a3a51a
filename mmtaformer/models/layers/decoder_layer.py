"""One layer of SeqFormer's decoder, which has two streams of queries."""

from __future__ import annotations

from mmcv.cnn.bricks.transformer import FFN
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..checks import require_heads, require_same
from ..structures import ClipFeatures


def _self_attention(
    embed_dims: int, num_heads: int, dropout: float = 0.0
) -> nn.MultiheadAttention:
    require_heads("The decoder's self-attention", embed_dims, num_heads)
    return nn.MultiheadAttention(embed_dims, num_heads, dropout, batch_first=True)


class QueryDecomposedDecoderLayer(BaseModule):
    """Self-attention, shared cross-attention and feed-forward of both streams.

    The instance stream gathers its cross-attention over time with softmax weights
    that the box queries give.

    Args:
        self_attn_cfg: ``embed_dims``, ``num_heads`` and ``dropout`` of the
            self-attention of either stream.
        cross_attn_cfg: Config of the cross-attention.
        ffn_cfg: Arguments of mmcv's FFN, for either stream.
        num_levels: Number of levels L, unless ``cross_attn_cfg`` has it.
        dropout: Dropout on the attentions' outputs.
        init_cfg: Initialization config.
    """

    def __init__(
        self,
        self_attn_cfg: dict,
        cross_attn_cfg: dict,
        ffn_cfg: dict,
        num_levels: int = 4,
        dropout: float = 0.1,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        embed_dims = self_attn_cfg["embed_dims"]
        self.self_attn = _self_attention(**self_attn_cfg)
        self.self_attn_box = _self_attention(**self_attn_cfg)
        self.cross_attn = MODELS.build(
            {
                "type": "QueryDecomposedCrossAttention",
                "num_levels": num_levels,
                **cross_attn_cfg,
            }
        )
        self.time_attention_weights = nn.Linear(embed_dims, 1)
        self.ffn, self.ffn_box = FFN(**ffn_cfg), FFN(**ffn_cfg)
        self.dropout = nn.Dropout(dropout)
        self.norm1, self.norm1_box = nn.LayerNorm(embed_dims), nn.LayerNorm(embed_dims)
        self.norm2, self.norm2_box = nn.LayerNorm(embed_dims), nn.LayerNorm(embed_dims)
        self.norm3, self.norm3_box = nn.LayerNorm(embed_dims), nn.LayerNorm(embed_dims)
        require_same(
            "embed_dims",
            decoder__layer_cfg__self_attn_cfg=embed_dims,
            decoder__layer_cfg__cross_attn_cfg=self.cross_attn.embed_dims,
            decoder__layer_cfg__ffn_cfg=self.ffn.embed_dims,
        )

    def forward(
        self,
        instance_query: Tensor,
        box_query: Tensor,
        *,
        query_pos: Tensor,
        reference_points: Tensor,
        memory: ClipFeatures,
    ) -> tuple[Tensor, Tensor]:
        """Refine both streams.

        Args:
            instance_query: (B, Q, C).
            box_query: (B, T, Q, C).
            query_pos: (Q, C) learned position of the queries.
            reference_points: (B, T, Q, 2 or 4) in [0, 1] of the unpadded image.
            memory: The encoder's output.

        Returns:
            tuple: The refined instance queries and box queries.
        """
        key = instance_query + query_pos
        attended = self.self_attn(key, key, instance_query, need_weights=False)[0]
        instance_query = self.norm2(instance_query + self.dropout(attended))

        frames = box_query.flatten(0, 1)  # each attends to its own queries
        key = frames + query_pos
        attended = self.self_attn_box(key, key, frames, need_weights=False)[0]
        frames = self.norm2_box(frames + self.dropout(attended))
        box_query = frames.unflatten(0, box_query.shape[:2])

        instance_samples, box_samples = self.cross_attn(
            box_query + query_pos, memory, reference_points
        )
        box_query = self.norm1_box(box_query + self.dropout(box_samples))
        box_query = self.norm3_box(self.ffn_box(box_query))

        time_weights = self.time_attention_weights(box_query).softmax(dim=1)
        gathered = (instance_samples * time_weights).sum(dim=1)
        instance_query = self.norm1(instance_query + self.dropout(gathered))
        instance_query = self.norm3(self.ffn(instance_query))
        return instance_query, box_query
