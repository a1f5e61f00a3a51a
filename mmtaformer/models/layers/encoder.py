"""Spatio-temporal transformer encoder."""

from __future__ import annotations

import torch
from mmdet.registry import MODELS
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn

from ..structures import ClipFeatures, encoder_reference_points
from .dropout import Dropout
from .ffn import build_ffn
from .recomputation import recomputed


class SpatioTemporalEncoderLayer(BaseModule):
    """STJ-MSDA and a feed-forward network, each with residual and layer norm.

    Args:
        self_attn_cfg (dict): Config of the deformable attention.
        ffn_cfg (dict): Arguments of mmcv's FFN.
        dropout (float): Dropout on the attention's output. Defaults to 0.1.
    """

    def __init__(
        self, self_attn_cfg: dict, ffn_cfg: dict, dropout: float = 0.1, init_cfg=None
    ) -> None:
        super().__init__(init_cfg)
        self_attn_cfg = {
            "type": "SpatioTemporalDeformableAttention",
            **self_attn_cfg,
        }
        self.self_attn = MODELS.build(self_attn_cfg)
        self.dropout = Dropout(dropout)
        self.norm1 = nn.LayerNorm(self.self_attn.embed_dims)
        self.ffn = build_ffn(**ffn_cfg)
        self.norm2 = nn.LayerNorm(self.self_attn.embed_dims)

    def forward(
        self,
        tokens: Tensor,
        position: Tensor,
        value: Tensor,
        reference_points: Tensor,
        spatial_shapes: tuple[tuple[int, int], ...],
        padding_mask: Tensor | None,
        first_frame: int = 0,
    ) -> Tensor:
        """Refine some frames of a clip.

        Args:
            tokens: (B, T_q, S, C) the frames to refine.
            position: (B, T_q or 1, S, C) their positional encoding.
            value: (B, T_v, S, C) these frames and their neighbours.
            reference_points, spatial_shapes, padding_mask, first_frame: As in
                :meth:`SpatioTemporalDeformableAttention.forward`.

        Returns:
            Tensor: (B, T_q, S, C).
        """
        attended = self.self_attn(
            tokens + position,
            value,
            reference_points,
            spatial_shapes,
            padding_mask,
            first_frame,
        )
        tokens = self.norm1(tokens + self.dropout(attended))
        return self.norm2(self.ffn(tokens))


@MODELS.register_module()
class SpatioTemporalEncoder(BaseModule):
    """A stack of :class:`SpatioTemporalEncoderLayer`.

    Args:
        num_layers (int): Number of layers. Defaults to 6.
        layer_cfg (dict): Arguments of every layer.
        with_cp (bool): Recompute activations in the backward pass instead of
            keeping them, which spares memory in training. Defaults to False.
    """

    def __init__(
        self,
        layer_cfg: dict,
        num_layers: int = 6,
        with_cp: bool = False,
        init_cfg=None,
    ) -> None:
        super().__init__(init_cfg)
        self.with_cp = with_cp
        self.layers = ModuleList(
            SpatioTemporalEncoderLayer(**layer_cfg) for _ in range(num_layers)
        )

    @property
    def embed_dims(self) -> int:
        return self.layers[0].self_attn.embed_dims

    def forward(
        self, features: ClipFeatures, frames_per_chunk: int | None = None
    ) -> ClipFeatures:
        """Refine the tokens of a batch of clips.

        Args:
            features: Embedded features.
            frames_per_chunk: How many frames a layer works on at a time, which
                bounds memory on long videos; the result does not depend on it.
                Only without gradients. Defaults to None, all frames at once.

        Returns:
            ClipFeatures: The same geometry around the encoded tokens.
        """
        if frames_per_chunk is not None and frames_per_chunk < features.num_frames:
            return self._forward_in_chunks(features, frames_per_chunk)
        geometry = self._geometry(features)
        for layer in self.layers:
            args = (features.tokens, features.position(), features.tokens, *geometry)
            if self.with_cp and self.training:
                tokens = recomputed(layer, *args)
            else:
                tokens = layer(*args)
            features = features.with_tokens(tokens)
        return features

    def _forward_in_chunks(
        self, features: ClipFeatures, frames_per_chunk: int
    ) -> ClipFeatures:
        """Holds the tokens of the whole clip once, beside those it was given."""
        source, encoded = features.tokens, torch.empty_like(features.tokens)
        geometry = self._geometry(features)
        for layer in self.layers:
            window = layer.self_attn.temporal_window
            before = source[:, :0]  # frames that this layer may have overwritten
            for first in range(0, features.num_frames, frames_per_chunk):
                last = min(first + frames_per_chunk, features.num_frames)
                start, end = before.size(1), before.size(1) + last - first
                around = torch.cat([before, source[:, first : last + window]], dim=1)
                encoded[:, first:last] = layer(
                    around[:, start:end],
                    features.position(first, last),
                    around,
                    *geometry,
                    start,
                )
                before = around[:, max(end - window, 0) : end]
            source = encoded
        return features.with_tokens(encoded)

    @staticmethod
    def _geometry(features: ClipFeatures) -> tuple:
        """Arguments of the layers that are the same for all frames."""
        reference_points = encoder_reference_points(
            features.spatial_shapes, features.valid_ratios
        )
        return reference_points, features.spatial_shapes, features.padding_mask
