"""The encoder on features that are given."""

import numpy as np
from mmdet.models.losses import CrossEntropyLoss, DiceLoss
from mmengine.config import Config
from torch import Tensor, nn

from mmtaformer.models.layers import SpatioTemporalDeformableAttention

from .trial import Trial
from .videos import HEIGHT, WIDTH, Clips, draw_ellipses


class EncoderTrial(Trial):
    """The encoder and a linear layer that asks each token which objects are there."""

    temporal_layers = (SpatioTemporalDeformableAttention,)

    def __init__(self, config: Config, task: str, seed: int) -> None:
        super().__init__(config, task, seed)
        count = 2 if task == "twins" else 1
        # Part of the model, as the optimizer is built for that.
        self.model.covers = nn.Linear(self.model.encoder.embed_dims, count)
        self.loss_cover = CrossEntropyLoss(use_sigmoid=True, loss_weight=5.0)
        self.loss_dice = DiceLoss(eps=1.0)

    def loss(self, clips: Clips) -> Tensor:
        """Cross-entropy and dice loss of the tokens that objects cover."""
        logits = self._logits(clips, self.rng).flatten(0, 2)
        covered = draw_ellipses(clips.boxes, (HEIGHT, WIDTH)).flatten(0, 2)
        return self.loss_cover(logits, covered) + self.loss_dice(logits, covered)

    def ious(self, clips: Clips, rng: np.random.Generator) -> Tensor:
        """IoU of the tokens that are said to be covered with those that are."""
        found = self._logits(clips, rng) > 0
        covered = draw_ellipses(clips.boxes, (HEIGHT, WIDTH)) > 0
        union = (found | covered).sum((-2, -1))  # some token is covered
        return (found & covered).sum((-2, -1)) / union

    def _logits(self, clips: Clips, rng: np.random.Generator) -> Tensor:
        """(B, T, n, h, w) of tokens that are covered."""
        memory = self.model.encoder(self.features(clips, rng))
        logits = self.model.covers(memory.tokens)
        return logits.movedim(-1, 2).unflatten(-1, (HEIGHT, WIDTH))
