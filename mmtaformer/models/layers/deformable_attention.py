"""Spatio-temporal joint multi-scale deformable attention (STJ-MSDA)."""

from __future__ import annotations

import math

import torch
from mmcv.ops import MultiScaleDeformableAttention
from mmdet.registry import MODELS
from torch import Tensor, nn

from mmtaformer.ops import spatio_temporal_deformable_attention


def neighbour_frames(temporal_window: int) -> tuple[int, ...]:
    """Relative frames that T-MSDA looks at: -d..-1, 1..d."""
    window = range(-temporal_window, temporal_window + 1)
    return tuple(frame for frame in window if frame)


def _directional_offsets(num_heads: int, num_groups: int, num_points: int) -> Tensor:
    """Initial sampling offsets: each head looks in its own direction, point k at
    distance k + 1 (Deformable DETR). Returns (M * groups * K * 2,)."""
    angles = torch.arange(num_heads) * (2.0 * math.pi / num_heads)
    directions = torch.stack([angles.cos(), angles.sin()], dim=-1)
    directions = directions / directions.abs().amax(dim=-1, keepdim=True)
    distances = torch.arange(1, num_points + 1, dtype=directions.dtype)
    offsets = directions[:, None, None] * distances[:, None]
    return offsets.expand(-1, num_groups, -1, -1).flatten()


def project_value(
    attn: MultiScaleDeformableAttention, tokens: Tensor, padding_mask: Tensor | None
) -> Tensor:
    """Per-head values of an attention module, zero on padding.

    Args:
        attn: The module whose projection is used.
        tokens: (B, T, S, C).
        padding_mask: (B, S), True on padding, or None.

    Returns:
        Tensor: (B, T, S, M, C / M).
    """
    value = attn.value_proj(tokens)
    if padding_mask is not None:
        value = value.masked_fill(padding_mask[:, None, :, None], 0.0)
    return value.unflatten(-1, (attn.num_heads, -1))


@MODELS.register_module()
class SpatioTemporalDeformableAttention(MultiScaleDeformableAttention):
    """S-MSDA, T-MSDA and their fusion, Eqs. (1)-(5).

    The spatial half keeps the arguments and parameter names of mmcv's class. Value
    and output projections are shared between the two halves.

    Args:
        embed_dims, num_heads, num_levels, num_points: As in mmcv's class;
            ``num_points`` is K_intra.
        temporal_window (int): d, how many frames before and after are sampled.
            0 leaves the temporal half out, which is SeqFormer. Defaults to 2.
        num_temporal_points (int): K_inter. Defaults to 4.
        fusion (dict): Config of the fusion. Defaults to
            :class:`DynamicAttentionFusion`.
    """

    def __init__(
        self,
        embed_dims: int = 256,
        num_heads: int = 8,
        num_levels: int = 4,
        num_points: int = 4,
        temporal_window: int = 2,
        num_temporal_points: int = 4,
        fusion: dict | None = None,
        **kwargs,
    ) -> None:
        super().__init__(embed_dims, num_heads, num_levels, num_points, **kwargs)
        self.relative_frames = neighbour_frames(temporal_window)
        self.num_temporal_points = num_temporal_points
        if self.relative_frames:
            samples = (
                num_heads * len(self.relative_frames) * num_levels * num_temporal_points
            )
            self.temporal_sampling_offsets = nn.Linear(embed_dims, samples * 2)
            self.temporal_attention_weights = nn.Linear(embed_dims, samples)
            fusion = {"type": "DynamicAttentionFusion", **(fusion or {})}
            self.fusion = MODELS.build({"embed_dims": embed_dims, **fusion})
        self.init_weights()

    def init_weights(self) -> None:
        """Deformable DETR's initialization, for both halves."""
        super().init_weights()
        # The parent's constructor calls this before the temporal half exists.
        if "temporal_sampling_offsets" not in self._modules:
            return
        nn.init.zeros_(self.temporal_sampling_offsets.weight)
        groups = len(self.relative_frames) * self.num_levels
        with torch.no_grad():
            self.temporal_sampling_offsets.bias.copy_(
                _directional_offsets(self.num_heads, groups, self.num_temporal_points)
            )
        nn.init.zeros_(self.temporal_attention_weights.weight)
        nn.init.zeros_(self.temporal_attention_weights.bias)

    @property
    def temporal_window(self) -> int:
        """d, how many frames before and after are sampled."""
        return len(self.relative_frames) // 2

    def forward(
        self,
        query: Tensor,
        value: Tensor,
        reference_points: Tensor,
        spatial_shapes: tuple[tuple[int, int], ...],
        padding_mask: Tensor | None = None,
        first_frame: int = 0,
    ) -> Tensor:
        """Attend to the query's own frame and to its neighbours.

        Args:
            query: (B, T_q, S, C) tokens with their positional encoding.
            value: (B, T_v, S, C) tokens of the query's frames and those around them.
            reference_points: (B, S, L, 2) as (x, y) in [0, 1] of the padded level.
            spatial_shapes: (H_l, W_l) of every level.
            padding_mask: (B, S), True on padding, or None.
            first_frame: Index in ``value`` of the first frame of ``query``.

        Returns:
            Tensor: (B, T_q, S, C).
        """
        value = project_value(self, value, padding_mask)
        reference_points = reference_points.unsqueeze(1)
        intra = self._sample(
            query,
            value,
            reference_points,
            spatial_shapes,
            (0,),
            self.sampling_offsets,
            self.attention_weights,
            self.num_points,
            first_frame,
        )
        if not self.relative_frames:
            return intra
        if value.size(1) == 1:
            return self.fusion(intra, torch.zeros_like(intra))
        inter = self._sample(
            query,
            value,
            reference_points,
            spatial_shapes,
            self.relative_frames,
            self.temporal_sampling_offsets,
            self.temporal_attention_weights,
            self.num_temporal_points,
            first_frame,
        )
        return self.fusion(intra, inter)

    def _sample(
        self,
        query: Tensor,
        value: Tensor,
        reference_points: Tensor,
        spatial_shapes: tuple[tuple[int, int], ...],
        relative_frames: tuple[int, ...],
        offset_layer: nn.Linear,
        weight_layer: nn.Linear,
        num_points: int,
        first_frame: int,
    ) -> Tensor:
        samples = (self.num_heads, len(relative_frames), self.num_levels, num_points)
        sampled = spatio_temporal_deformable_attention(
            value,
            spatial_shapes,
            reference_points.expand(-1, query.size(1), -1, -1, -1),
            offset_layer(query).unflatten(-1, (*samples, 2)),
            weight_layer(query).unflatten(-1, samples),
            relative_frames,
            first_frame,
        )
        return self.output_proj(sampled)
