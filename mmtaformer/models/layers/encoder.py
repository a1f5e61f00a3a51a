"""Spatio-temporal transformer encoder."""

from __future__ import annotations

from functools import partial

import torch
from mmcv.cnn.bricks.transformer import FFN
from mmdet.registry import MODELS
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn

from ..checks import require_positive, require_same
from ..structures import ClipFeatures
from .initialization import xavier_matrices
from .recomputation import recomputed


class SpatioTemporalEncoderLayer(BaseModule):
    """STJ-MSDA and a feed-forward network, each with residual and layer norm.

    Args:
        self_attn_cfg: Config of the deformable attention.
        ffn_cfg: Arguments of mmcv's FFN.
        num_levels: Number of levels L, unless ``self_attn_cfg`` has it.
        dropout: Dropout on the attention's output.
        init_cfg: Initialization config.
    """

    def __init__(
        self,
        self_attn_cfg: dict,
        ffn_cfg: dict,
        num_levels: int = 4,
        dropout: float = 0.1,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.self_attn = MODELS.build(
            {
                "type": "SpatioTemporalDeformableAttention",
                "num_levels": num_levels,
                **self_attn_cfg,
            }
        )
        self.dropout = nn.Dropout(dropout)
        self.norm1 = nn.LayerNorm(self.self_attn.embed_dims)
        self.ffn = FFN(**ffn_cfg)
        self.norm2 = nn.LayerNorm(self.self_attn.embed_dims)
        require_same(
            "embed_dims",
            encoder__layer_cfg__self_attn_cfg=self.self_attn.embed_dims,
            encoder__layer_cfg__ffn_cfg=self.ffn.embed_dims,
        )

    def forward(self, features: ClipFeatures, frames: slice = slice(None)) -> Tensor:
        """Refine some frames of a clip.

        Args:
            features: These frames and their neighbours.
            frames: Which of ``features`` to refine; all by default.

        Returns:
            Tensor: (B, frames, S, C) tokens.
        """
        own = features.select(frames)
        attended = self.self_attn(
            own.tokens + own.position, features, first_frame=frames.start or 0
        )
        tokens = self.norm1(own.tokens + self.dropout(attended))
        return self.norm2(self.ffn(tokens))


@MODELS.register_module()
class SpatioTemporalEncoder(BaseModule):
    """A stack of :class:`SpatioTemporalEncoderLayer`.

    Args:
        layer_cfg: Arguments of every layer.
        num_layers: Number of layers.
        num_levels: Number of levels L, unless the attention's config has it.
        with_cp: Recompute activations in the backward pass instead of keeping them,
            which spares memory in training.
        init_cfg: Initialization config.
    """

    def __init__(
        self,
        layer_cfg: dict,
        num_layers: int = 6,
        num_levels: int = 4,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        require_positive(self, num_layers=num_layers)
        self.with_cp = with_cp
        layer_cfg = {"num_levels": num_levels, **layer_cfg}
        self.layers = ModuleList(
            SpatioTemporalEncoderLayer(**layer_cfg) for _ in range(num_layers)
        )

    def init_weights(self) -> None:
        """Xavier for every matrix, then what each module does for itself."""
        xavier_matrices(self)
        super().init_weights()

    @property
    def embed_dims(self) -> int:
        """Channels C."""
        return self.layers[0].self_attn.embed_dims

    @property
    def num_levels(self) -> int:
        """L."""
        return self.layers[0].self_attn.num_levels

    def forward(self, features: ClipFeatures) -> ClipFeatures:
        """Refine the tokens of a batch of clips; the geometry stays."""
        if not features.in_one_window:
            return self._encode_windows(features)
        for layer in self.layers:
            if self.with_cp and self.training:
                layer = partial(recomputed, layer)
            features = features.with_tokens(layer(features))
        return features

    def _encode_windows(self, features: ClipFeatures) -> ClipFeatures:
        """Hold the tokens of the whole clip once, beside those that were given."""
        encoded = features.with_tokens(torch.empty_like(features.tokens))
        for layer in self.layers:
            for window in features.windows(halo=layer.self_attn.halo):
                tokens = layer(window.features, window.inner)
                encoded.tokens[:, window.frames] = tokens
            features = encoded
        return encoded
