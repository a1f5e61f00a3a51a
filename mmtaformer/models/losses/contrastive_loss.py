"""Contrastive loss on box queries, Eqs. (7)-(8) of the paper."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class BoxQueryContrastiveLoss(nn.Module):
    """InfoNCE between the box queries of every ordered pair of frames.

    The same query in two frames is the positive pair, every other query of the
    second frame a negative. The mean over pairs, queries and clips is taken.

    Args:
        temperature: Divisor of the cosine similarity; the paper does not
            give it. Defaults to 0.1.
        loss_weight: Defaults to 1.0.
    """

    def __init__(self, temperature: float = 0.1, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.temperature = temperature
        self.loss_weight = loss_weight

    def forward(self, embeddings: Tensor) -> Tensor:
        """Contrast the frames of each clip.

        Args:
            embeddings: (B, T, Q, C) projected box queries. With a single frame
                there is no pair, and the loss is zero.

        Returns:
            Tensor: Scalar.
        """
        num_frames = embeddings.size(1)
        if num_frames == 1:
            return embeddings.sum() * 0.0
        unit = F.normalize(embeddings.float(), dim=-1)
        similarity = torch.einsum("btic,bsjc->btsij", unit, unit) / self.temperature
        positive = similarity.diagonal(dim1=3, dim2=4)
        info_nce = similarity.logsumexp(dim=-1) - positive
        other = ~torch.eye(num_frames, dtype=torch.bool, device=unit.device)
        return self.loss_weight * info_nce[:, other].mean()
