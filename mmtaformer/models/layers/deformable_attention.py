"""Deformable attention to the frames of a clip: in the encoder and in the decoder."""

from __future__ import annotations

import math
from typing import Any

import torch
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmtaformer.ops import spatio_temporal_deformable_attention

from ..checks import require_choice, require_heads, require_positive
from ..structures import ClipFeatures
from .nearest_frames import frame_runs


class FrameDeformableAttention(BaseModule):
    """Samples of features around reference points, weighted and projected.

    The four linear layers have the names and shapes of Deformable DETR's.

    Args:
        embed_dims: Channels C.
        num_heads: M.
        num_levels: L.
        num_points: K, samples per head and level.
        init_cfg: Initialization config.
    """

    def __init__(
        self,
        embed_dims: int = 256,
        num_heads: int = 8,
        num_levels: int = 4,
        num_points: int = 4,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        require_heads(self, embed_dims, num_heads)
        require_positive(self, num_levels=num_levels, num_points=num_points)
        self.embed_dims = embed_dims
        self.num_heads = num_heads
        self.num_levels = num_levels
        self.num_points = num_points
        samples = num_heads * num_levels * num_points
        self.sampling_offsets = nn.Linear(embed_dims, samples * 2)
        self.attention_weights = nn.Linear(embed_dims, samples)
        self.value_proj = nn.Linear(embed_dims, embed_dims)
        self.output_proj = nn.Linear(embed_dims, embed_dims)

    def init_weights(self) -> None:
        """Deformable DETR's start: equal weights, each head in its own direction."""
        start_sampling(
            self.sampling_offsets,
            self.attention_weights,
            self.num_heads,
            self.num_points,
        )
        for projection in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(projection.weight)
            nn.init.zeros_(projection.bias)
        super().init_weights()

    def project_value(self, features: ClipFeatures) -> Tensor:
        """Project tokens to values, which are zero on padding: (B, T, S, M, C / M)."""
        value = self.value_proj(features.tokens)
        if features.padding_mask is not None:
            value = value.masked_fill(features.padding_mask[:, None, :, None], 0.0)
        return value.unflatten(-1, (self.num_heads, -1))

    def sample(
        self,
        query: Tensor,
        *,
        offsets: nn.Linear,
        weights: nn.Linear,
        value: Tensor,
        spatial_shapes: tuple[tuple[int, int], ...],
        reference_points: Tensor,
        relative_frames: tuple[int, ...] = (0,),
        first_frame: int = 0,
    ) -> Tensor:
        """Gather values where the queries look, before the output projection.

        Args:
            query: (B, T_q, N, C) with their positional encoding.
            offsets: Layer that says where a query looks, in pixels of each level
                around a point or in parts of a box.
            weights: Layer that says what a sample counts, before the softmax.
            value: (B, T_v, S, M, C / M), see :meth:`project_value`.
            spatial_shapes: (H_l, W_l) of every level.
            reference_points: (B, T_q, N, L, 2 or 4) in [0, 1] of the padded levels.
            relative_frames: Frames to sample, relative to the query's own.
            first_frame: Index in ``value`` of the first frame of ``query``.

        Returns:
            Tensor: (B, T_q, N, C).
        """
        groups = (self.num_heads, len(relative_frames), self.num_levels)
        return spatio_temporal_deformable_attention(
            value=value,
            spatial_shapes=spatial_shapes,
            reference_points=reference_points,
            sampling_offsets=offsets(query).unflatten(-1, (*groups, -1, 2)),
            attention_logits=weights(query).unflatten(-1, (*groups, -1)),
            relative_frames=relative_frames,
            first_frame=first_frame,
        )


@MODELS.register_module()
class SpatioTemporalDeformableAttention(FrameDeformableAttention):
    """The encoder's S-MSDA, T-MSDA and their fusion (STJ-MSDA), Eqs. (1)-(5).

    Value and output projections are shared between the two halves.

    Args:
        embed_dims: Channels C.
        num_heads: M.
        num_levels: L.
        num_points: K_intra, samples per head and level in the query's own frame.
        temporal_window: d, how many frames before and after are sampled. 0 leaves
            the temporal half out, which is SeqFormer.
        num_temporal_points: K_inter, samples per head, level and neighbouring frame.
        fusion: Config of the fusion; :class:`DynamicAttentionFusion` by default.
        lone_frame: What comes out of a clip of one frame: ``fuse`` gives the fusion
            zeros for the temporal half, ``spatial`` returns the spatial half as it is.
        border: What frames near the border of the clip sample: ``mask`` leaves the
            frames outside of the clip out of the softmax; ``nearest`` takes the 2d
            frames of the clip that are nearest, in ascending order, the i-th group of
            offsets and weights for the i-th of them. If there are fewer, the last
            groups are left out.
        init_cfg: Initialization config.
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
        lone_frame: str = "fuse",
        border: str = "mask",
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(embed_dims, num_heads, num_levels, num_points, init_cfg)
        self.relative_frames = neighbour_frames(temporal_window)
        self.num_temporal_points = num_temporal_points
        require_choice(self, ("fuse", "spatial"), lone_frame=lone_frame)
        require_choice(self, ("mask", "nearest"), border=border)
        self.lone_frame = lone_frame
        self.border = border
        if temporal_window != 0:
            require_positive(
                self,
                temporal_window=temporal_window,
                num_temporal_points=num_temporal_points,
            )
            groups = num_heads * len(self.relative_frames) * num_levels
            samples = groups * num_temporal_points
            self.temporal_sampling_offsets = nn.Linear(embed_dims, samples * 2)
            self.temporal_attention_weights = nn.Linear(embed_dims, samples)
            fusion = {"type": "DynamicAttentionFusion", **(fusion or {})}
            self.fusion = MODELS.build({"embed_dims": embed_dims, **fusion})

    def init_weights(self) -> None:
        """Give both halves the same start."""
        if self.relative_frames:
            start_sampling(
                self.temporal_sampling_offsets,
                self.temporal_attention_weights,
                self.num_heads,
                self.num_temporal_points,
            )
        super().init_weights()

    @property
    def temporal_window(self) -> int:
        """d, how many frames before and after are sampled."""
        return len(self.relative_frames) // 2

    @property
    def halo(self) -> int:
        """How many frames on either side a frame may sample."""
        return self.temporal_window * (2 if self.border == "nearest" else 1)

    def forward(
        self, query: Tensor, features: ClipFeatures, first_frame: int = 0
    ) -> Tensor:
        """Attend to the query's own frame and to its neighbours.

        Args:
            query: (B, T_q, S, C) tokens with their positional encoding.
            features: The queries' frames and those around them, T_v in all; as many
                as the :attr:`halo` says, unless the clip ends before.
            first_frame: Index in ``features`` of the first frame of ``query``.

        Returns:
            Tensor: (B, T_q, S, C).
        """
        points = features.reference_points.unsqueeze(1)
        where: dict[str, Any] = dict(
            value=self.project_value(features),
            spatial_shapes=features.spatial_shapes,
            reference_points=points.expand(-1, query.size(1), -1, -1, -1),
            first_frame=first_frame,
        )
        intra = self.sample(
            query,
            offsets=self.sampling_offsets,
            weights=self.attention_weights,
            **where,
        )
        intra = self.output_proj(intra)
        is_lone = features.num_frames == 1
        if not self.relative_frames or (is_lone and self.lone_frame == "spatial"):
            return intra
        if is_lone:
            return self.fusion(intra, torch.zeros_like(intra))
        where |= dict(
            offsets=self.temporal_sampling_offsets,
            weights=self.temporal_attention_weights,
        )
        if self.border == "nearest":
            inter = self._sample_nearest(query, **where)
        else:
            inter = self.sample(query, relative_frames=self.relative_frames, **where)
        return self.fusion(intra, self.output_proj(inter))

    def _sample_nearest(
        self,
        query: Tensor,
        *,
        value: Tensor,
        reference_points: Tensor,
        first_frame: int,
        **others: Any,
    ) -> Tensor:
        """What :meth:`sample` does, in the frames that are nearest to each query's."""
        frames = range(first_frame, first_frame + query.size(1))
        parts = [
            self.sample(
                query[:, run],
                value=value,
                reference_points=reference_points[:, run],
                relative_frames=nearest,
                first_frame=first_frame + run.start,
                **others,
            )
            for run, nearest in frame_runs(frames, value.size(1), self.temporal_window)
        ]
        return torch.cat(parts, dim=1)


@MODELS.register_module()
class QueryDecomposedCrossAttention(FrameDeformableAttention):
    """The decoder's cross-attention, which serves both query streams at once.

    Offsets and weights come from the box queries. What they sample is projected once
    for the instance queries and once for the box queries.

    Args:
        embed_dims: Channels C.
        num_heads: M.
        num_levels: L.
        num_points: K, samples per head and level.
        init_cfg: Initialization config.
    """

    def __init__(
        self,
        embed_dims: int = 256,
        num_heads: int = 8,
        num_levels: int = 4,
        num_points: int = 4,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(embed_dims, num_heads, num_levels, num_points, init_cfg)
        self.output_proj_box = nn.Linear(embed_dims, embed_dims)

    def init_weights(self) -> None:
        """As SeqFormer's released code, which leaves the second bias as it is."""
        nn.init.xavier_uniform_(self.output_proj_box.weight)
        super().init_weights()

    def forward(
        self, query: Tensor, memory: ClipFeatures, reference_points: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Sample the memory of every frame around the references.

        Args:
            query: (B, T, Q, C) box queries with their positional encoding.
            memory: The encoder's output.
            reference_points: (B, T, Q, 2 or 4) in [0, 1] of the unpadded image.

        Returns:
            tuple: (B, T, Q, C) for the instance stream, (B, T, Q, C) for the boxes.
        """
        ratios = memory.valid_ratios
        if reference_points.size(-1) == 4:
            ratios = torch.cat([ratios, ratios], dim=-1)
        reference_points = reference_points[..., None, :] * ratios[:, None, None]
        sampled = [
            self.sample(
                query[:, window.frames],
                offsets=self.sampling_offsets,
                weights=self.attention_weights,
                value=self.project_value(window.features),
                spatial_shapes=memory.spatial_shapes,
                reference_points=reference_points[:, window.frames],
            )
            for window in memory.windows()
        ]
        gathered = torch.cat(sampled, dim=1)
        return self.output_proj(gathered), self.output_proj_box(gathered)


def neighbour_frames(temporal_window: int) -> tuple[int, ...]:
    """Relative frames that T-MSDA looks at: -d..-1, 1..d."""
    window = range(-temporal_window, temporal_window + 1)
    return tuple(frame for frame in window if frame)


def start_sampling(
    offsets: nn.Linear, weights: nn.Linear, num_heads: int, num_points: int
) -> None:
    """Give the layers of a deformable attention Deformable DETR's start.

    All weights are equal, whatever the query. Every head looks in its own direction,
    along which point k lies k + 1 pixels away.

    Args:
        offsets: C -> heads * groups * points * 2, where a group is one level of one
            relative frame.
        weights: C -> heads * groups * points.
        num_heads: M.
        num_points: K.
    """
    for parameter in (offsets.weight, weights.weight, weights.bias):
        nn.init.zeros_(parameter)
    angles = torch.arange(num_heads) * (2.0 * math.pi / num_heads)
    directions = torch.stack([angles.cos(), angles.sin()], dim=-1)
    directions = directions / directions.abs().amax(dim=-1, keepdim=True)
    distances = torch.arange(1, num_points + 1, dtype=directions.dtype)
    start = directions[:, None, None] * distances[:, None]
    with torch.no_grad():
        bias = offsets.bias.view(num_heads, -1, num_points, 2)
        bias.copy_(start.expand_as(bias))
