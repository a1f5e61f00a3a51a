"""Temporal augmented transformer decoder with SeqFormer's two query streams."""

from __future__ import annotations

from functools import partial

import torch
from mmdet.models.layers import inverse_sigmoid
from mmdet.registry import MODELS
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn

from ..checks import require_choice, require_positive, require_same
from ..structures import ClipFeatures, DecoderLayerOutput
from .decoder_layer import QueryDecomposedDecoderLayer
from .initialization import xavier_matrices
from .recomputation import recomputed


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
class TemporalAugmentedDecoder(BaseModule):
    """SeqFormer's query decomposition with temporal self-attention of box queries.

    All frames hold the same box query before the first layer, so temporal
    self-attention starts at the second, unless the config says otherwise.

    Args:
        layer_cfg: Arguments of :class:`QueryDecomposedDecoderLayer`.
        num_layers: Number of layers.
        num_levels: Number of levels L, unless the cross-attention's config has it.
        temporal_self_attn: Config of the temporal self-attention; None leaves it out,
            which is SeqFormer.
        share_temporal_self_attn: One temporal self-attention for all layers, as the
            paper's parameter counts imply, or one for each.
        first_temporal_layer: 1: temporal self-attention starts before the second
            layer. 0: before the first one as well, where all frames hold the same
            query and, as long as references start from the query alone, the same
            reference; whatever the weights, the frames stay alike there.
        with_cp: Recompute activations in the backward pass.
        init_cfg: Initialization config.
    """

    def __init__(
        self,
        layer_cfg: dict,
        num_layers: int = 6,
        num_levels: int = 4,
        temporal_self_attn: dict | None = None,
        share_temporal_self_attn: bool = True,
        first_temporal_layer: int = 1,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        require_positive(self, num_layers=num_layers)
        require_choice(self, (1, 0), first_temporal_layer=first_temporal_layer)
        self.first_temporal_layer = first_temporal_layer
        self.with_cp = with_cp
        layer_cfg = {"num_levels": num_levels, **layer_cfg}
        self.layers = ModuleList(
            QueryDecomposedDecoderLayer(**layer_cfg) for _ in range(num_layers)
        )
        self.temporal_self_attns = ModuleList()
        if temporal_self_attn is not None:
            own = num_layers - first_temporal_layer
            count = 1 if share_temporal_self_attn else own
            self.temporal_self_attns.extend(
                MODELS.build(temporal_self_attn) for _ in range(count)
            )
        for attention in self.temporal_self_attns:
            require_same(
                "embed_dims",
                decoder__layer_cfg=self.embed_dims,
                decoder__temporal_self_attn=attention.embed_dims,
            )

    def init_weights(self) -> None:
        """Xavier for every matrix, then what each module does for itself."""
        xavier_matrices(self)
        super().init_weights()

    @property
    def num_layers(self) -> int:
        """Number of layers."""
        return len(self.layers)

    @property
    def embed_dims(self) -> int:
        """Channels C."""
        return self.layers[0].cross_attn.embed_dims

    @property
    def num_levels(self) -> int:
        """L."""
        return self.layers[0].cross_attn.num_levels

    def relate_frames(
        self, box_query: Tensor, layer_index: int, **positions: Tensor | None
    ) -> Tensor:
        """Temporal self-attention ahead of a layer.

        Args:
            box_query: (B, T, Q, C).
            layer_index: Of the layer.
            positions: Where frames and queries lie, see
                :meth:`TemporalSelfAttention.forward`.

        Returns:
            Tensor: (B, T, Q, C).
        """
        index = layer_index - self.first_temporal_layer
        if index < 0 or len(self.temporal_self_attns) == 0:
            return box_query
        shared = len(self.temporal_self_attns) == 1
        attention = self.temporal_self_attns[0 if shared else index]
        return attention(box_query, **positions)

    def forward(
        self,
        query: Tensor,
        *,
        query_pos: Tensor,
        reference_points: Tensor,
        memory: ClipFeatures,
        reg_branches: nn.ModuleList,
        last_only: bool = False,
    ) -> list[DecoderLayerOutput]:
        """Decode a batch of clips.

        Args:
            query: (Q, C) learned content both streams start from.
            query_pos: (Q, C) learned position.
            reference_points: (Q, 2) initial references in [0, 1].
            memory: The encoder's output.
            reg_branches: One box branch (C -> 4) per layer.
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
            if self.with_cp and self.training:
                layer = partial(recomputed, layer)
            box_query = self.relate_frames(
                box_query,
                index,
                frame_ids=memory.frame_ids,
                query_pos=query_pos,
                reference=reference,
            )
            instance_query, box_query = layer(
                instance_query,
                box_query,
                query_pos=query_pos,
                reference_points=reference,
                memory=memory,
            )
            boxes = refine_boxes(reg_branches[index](box_query), reference)
            outputs.append(
                DecoderLayerOutput(instance_query, box_query, reference, boxes)
            )
            # Gradients of a layer stop at the boxes that it starts from.
            reference = boxes.detach()
            if last_only:
                outputs = outputs[-1:]
        return outputs
