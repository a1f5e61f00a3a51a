"""Temporal augmented transformer decoder with SeqFormer's two query streams."""

from __future__ import annotations

import torch
from mmdet.models.layers import inverse_sigmoid
from mmdet.registry import MODELS
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn

from ..structures import ClipFeatures, DecoderLayerOutput
from .decoder_layer import TemporalAugmentedDecoderLayer
from .dropout import Dropout
from .positional_encoding import temporal_sine_encoding


def refine_boxes(delta: Tensor, reference: Tensor) -> Tensor:
    """Move references by the box branch's output, in sigmoid space.

    Args:
        delta: (..., 4) output of the box branch.
        reference: (..., 2) points or (..., 4) cxcywh boxes in [0, 1]; a point has
            no size to start from, so ``delta`` alone gives it.

    Returns:
        Tensor: (..., 4) boxes as cxcywh in [0, 1].
    """
    delta, reference = delta.float(), reference.float()
    start = inverse_sigmoid(reference, eps=1e-5)
    if reference.size(-1) == 2:
        centre, size = delta.split(2, dim=-1)
        return torch.cat([centre + start, size], dim=-1).sigmoid()
    return (delta + start).sigmoid()


@MODELS.register_module()
class TemporalSelfAttention(BaseModule):
    """Attention of each box query to itself in the other frames of the clip.

    Section 3.4 of the paper: queries and keys carry the frame's encoding e_t;
    residual and layer norm follow.

    Args:
        embed_dims (int): Channels C. Defaults to 256.
        num_heads (int): Defaults to 8.
        dropout (float): Defaults to 0.1.
    """

    def __init__(
        self,
        embed_dims: int = 256,
        num_heads: int = 8,
        dropout: float = 0.1,
        init_cfg=None,
    ) -> None:
        super().__init__(init_cfg)
        self.attn = nn.MultiheadAttention(
            embed_dims, num_heads, dropout, batch_first=True
        )
        self.dropout = Dropout(dropout)
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


@MODELS.register_module()
class TemporalAugmentedDecoder(BaseModule):
    """SeqFormer's query decomposition with temporal self-attention of box queries.

    All frames hold the same box query before the first layer, so temporal
    self-attention starts at the second.

    Args:
        layer_cfg (dict): Arguments of :class:`TemporalAugmentedDecoderLayer`.
        num_layers (int): Number of layers. Defaults to 6.
        temporal_self_attn (dict, optional): Config of the temporal self-attention;
            None leaves it out, which is SeqFormer. Defaults to None.
        share_temporal_self_attn (bool): One temporal self-attention for all layers,
            as the paper's parameter counts imply, or one for each.
            Defaults to True.
        with_cp (bool): Recompute activations in the backward pass.
            Defaults to False.
    """

    def __init__(
        self,
        layer_cfg: dict,
        num_layers: int = 6,
        temporal_self_attn: dict | None = None,
        share_temporal_self_attn: bool = True,
        with_cp: bool = False,
        init_cfg=None,
    ) -> None:
        super().__init__(init_cfg)
        self.layers = ModuleList(
            TemporalAugmentedDecoderLayer(with_cp=with_cp, **layer_cfg)
            for _ in range(num_layers)
        )
        self.temporal_self_attns = ModuleList()
        if temporal_self_attn is not None:
            count = 1 if share_temporal_self_attn else num_layers - 1
            self.temporal_self_attns.extend(
                MODELS.build(temporal_self_attn) for _ in range(count)
            )

    @property
    def num_layers(self) -> int:
        return len(self.layers)

    def relate_frames(self, box_query: Tensor, layer_index: int) -> Tensor:
        """Temporal self-attention ahead of a layer: (B, T, Q, C) to the same."""
        if layer_index == 0 or len(self.temporal_self_attns) == 0:
            return box_query
        shared = len(self.temporal_self_attns) == 1
        return self.temporal_self_attns[0 if shared else layer_index - 1](box_query)

    def forward(
        self,
        query: Tensor,
        query_pos: Tensor,
        reference_points: Tensor,
        memory: ClipFeatures,
        reg_branches: nn.ModuleList,
        frames_per_chunk: int | None = None,
        last_only: bool = False,
    ) -> list[DecoderLayerOutput]:
        """Decode a batch of clips.

        Args:
            query: (Q, C) learned content both streams start from.
            query_pos: (Q, C) learned position.
            reference_points: (Q, 2) initial references in [0, 1].
            memory: The encoder's output.
            reg_branches: One box branch (C -> 4) per layer.
            frames_per_chunk: How many frames of the memory are projected at a time;
                the result does not depend on it.
            last_only: Whether to keep the last layer's output only.

        Returns:
            list[DecoderLayerOutput]: One for each layer, or the last one.
        """
        batch, num_frames = memory.tokens.shape[:2]
        instance_query = query.expand(batch, -1, -1)
        box_query = query.expand(batch, num_frames, -1, -1)
        reference = reference_points.expand(batch, num_frames, -1, -1)
        outputs = []
        for index, layer in enumerate(self.layers):
            box_query = self.relate_frames(box_query, index)
            instance_query, box_query = layer(
                instance_query,
                box_query,
                query_pos,
                reference,
                memory,
                frames_per_chunk,
            )
            boxes = refine_boxes(reg_branches[index](box_query), reference)
            outputs.append(
                DecoderLayerOutput(instance_query, box_query, reference, boxes)
            )
            reference = boxes.detach()
            if last_only:
                outputs = outputs[-1:]
        return outputs
