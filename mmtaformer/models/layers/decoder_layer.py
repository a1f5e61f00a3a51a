"""One layer of the decoder and the cross-attention its two streams share."""

from __future__ import annotations

import torch
from mmcv.ops import MultiScaleDeformableAttention
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmtaformer.ops import spatio_temporal_deformable_attention

from ..structures import ClipFeatures
from .deformable_attention import project_value
from .dropout import Dropout
from .ffn import build_ffn
from .recomputation import recomputed


@MODELS.register_module()
class QueryDecomposedCrossAttention(MultiScaleDeformableAttention):
    """Deformable cross-attention that serves both query streams at once.

    Offsets and weights come from the box queries; what they sample is projected
    once for the box queries and once for the instance queries. Keeps the arguments
    and parameter names of mmcv's class.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.output_proj_box = nn.Linear(self.embed_dims, self.embed_dims)
        nn.init.xavier_uniform_(self.output_proj_box.weight)
        nn.init.zeros_(self.output_proj_box.bias)

    def forward(
        self,
        query: Tensor,
        memory: ClipFeatures,
        reference_points: Tensor,
        frames_per_chunk: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Sample the memory of every frame around the references.

        Args:
            query: (B, T, Q, C) box queries with their positional encoding.
            memory: The encoder's output.
            reference_points: (B, T, Q, 2 or 4) in [0, 1] of the unpadded image.
            frames_per_chunk: How many frames are projected and sampled at a time.

        Returns:
            tuple: (B, T, Q, C) for the instance stream, (B, T, Q, C) for the boxes.
        """
        samples = (self.num_heads, 1, self.num_levels, self.num_points)
        offsets = self.sampling_offsets(query).unflatten(-1, (*samples, 2))
        weights = self.attention_weights(query).unflatten(-1, samples)
        ratios = memory.valid_ratios
        if reference_points.size(-1) == 4:
            ratios = torch.cat([ratios, ratios], dim=-1)
        references = reference_points[..., None, :] * ratios[:, None, None]
        num_frames = query.size(1)
        step = frames_per_chunk or num_frames
        sampled = torch.cat(
            [
                spatio_temporal_deformable_attention(
                    project_value(
                        self,
                        memory.tokens[:, first : first + step],
                        memory.padding_mask,
                    ),
                    memory.spatial_shapes,
                    references[:, first : first + step],
                    offsets[:, first : first + step],
                    weights[:, first : first + step],
                    (0,),
                )
                for first in range(0, num_frames, step)
            ],
            dim=1,
        )
        return self.output_proj(sampled), self.output_proj_box(sampled)


def _self_attention(
    embed_dims: int, num_heads: int, dropout: float = 0.0
) -> nn.MultiheadAttention:
    return nn.MultiheadAttention(embed_dims, num_heads, dropout, batch_first=True)


class TemporalAugmentedDecoderLayer(BaseModule):
    """Self-attention, shared cross-attention and feed-forward of both streams.

    The instance stream gathers its cross-attention over time with softmax weights
    that the box queries give.

    Args:
        self_attn_cfg (dict): ``embed_dims``, ``num_heads`` and ``dropout`` of the
            self-attention of either stream.
        cross_attn_cfg (dict): Config of the cross-attention.
        ffn_cfg (dict): Arguments of mmcv's FFN, for either stream.
        dropout (float): Dropout on the attentions' outputs. Defaults to 0.1.
        with_cp (bool): Recompute activations in the backward pass.
            Defaults to False.
    """

    def __init__(
        self,
        self_attn_cfg: dict,
        cross_attn_cfg: dict,
        ffn_cfg: dict,
        dropout: float = 0.1,
        with_cp: bool = False,
        init_cfg=None,
    ) -> None:
        super().__init__(init_cfg)
        embed_dims = self_attn_cfg["embed_dims"]
        self.with_cp = with_cp
        self.self_attn = _self_attention(**self_attn_cfg)
        self.self_attn_box = _self_attention(**self_attn_cfg)
        self.cross_attn = MODELS.build(
            {"type": "QueryDecomposedCrossAttention", **cross_attn_cfg}
        )
        self.time_attention_weights = nn.Linear(embed_dims, 1)
        self.ffn = build_ffn(**ffn_cfg)
        self.ffn_box = build_ffn(**ffn_cfg)
        self.dropout = Dropout(dropout)
        self.norm1, self.norm1_box = nn.LayerNorm(embed_dims), nn.LayerNorm(embed_dims)
        self.norm2, self.norm2_box = nn.LayerNorm(embed_dims), nn.LayerNorm(embed_dims)
        self.norm3, self.norm3_box = nn.LayerNorm(embed_dims), nn.LayerNorm(embed_dims)

    def forward(
        self,
        instance_query: Tensor,
        box_query: Tensor,
        query_pos: Tensor,
        reference_points: Tensor,
        memory: ClipFeatures,
        frames_per_chunk: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Refine both streams.

        Args:
            instance_query: (B, Q, C).
            box_query: (B, T, Q, C).
            query_pos: (Q, C) learned position of the queries.
            reference_points: (B, T, Q, 2 or 4) in [0, 1] of the unpadded image.
            memory: The encoder's output.
            frames_per_chunk: See :class:`QueryDecomposedCrossAttention`.

        Returns:
            tuple: The refined instance queries and box queries.
        """
        args = (instance_query, box_query, query_pos, reference_points)
        if self.with_cp and self.training:
            return recomputed(self._forward, *args, memory, frames_per_chunk)
        return self._forward(*args, memory, frames_per_chunk)

    def _forward(
        self,
        instance_query: Tensor,
        box_query: Tensor,
        query_pos: Tensor,
        reference_points: Tensor,
        memory: ClipFeatures,
        frames_per_chunk: int | None,
    ) -> tuple[Tensor, Tensor]:
        instance_query = self._attend_to_queries(
            self.self_attn, self.norm2, instance_query, query_pos
        )
        box_query = self._attend_to_queries(
            self.self_attn_box, self.norm2_box, box_query.flatten(0, 1), query_pos
        ).unflatten(0, box_query.shape[:2])

        instance_samples, box_samples = self.cross_attn(
            box_query + query_pos, memory, reference_points, frames_per_chunk
        )
        box_query = self.norm1_box(box_query + self.dropout(box_samples))
        box_query = self.norm3_box(self.ffn_box(box_query))

        time_weights = self.time_attention_weights(box_query).softmax(dim=1)
        gathered = (instance_samples * time_weights).sum(dim=1)
        instance_query = self.norm1(instance_query + self.dropout(gathered))
        instance_query = self.norm3(self.ffn(instance_query))
        return instance_query, box_query

    def _attend_to_queries(
        self, attn: nn.Module, norm: nn.Module, query: Tensor, query_pos: Tensor
    ) -> Tensor:
        """Self-attention over Q of (N, Q, C), with residual and norm."""
        key = query + query_pos
        attended = attn(key, key, query, need_weights=False)[0]
        return norm(query + self.dropout(attended))
