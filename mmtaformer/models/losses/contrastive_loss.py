"""Contrastive loss on box queries, Eqs. (7)-(8) of the paper."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from torch import Tensor, nn

from mmtaformer.utils.errors import UsageError

from ..checks import require_choice


@MODELS.register_module()
class BoxQueryContrastiveLoss(nn.Module):
    """InfoNCE between the box queries of every ordered pair of frames.

    The same query in two frames is the positive pair, every other query of the
    second frame a negative. The mean over pairs, queries and clips is taken.

    Args:
        temperature: Divisor of the cosine similarity; the paper does not
            give it. Defaults to 0.1.
        loss_weight: Defaults to 1.0.
        reduction: ``mean`` over the ordered pairs of frames, or their ``sum``; always
            the mean over queries and clips. Defaults to ``mean``.
        own_frame_negatives: Whether the other queries of the query's own frame are
            negatives, too. Defaults to False.
        matched_only: Whether queries count only if they are matched with an instance;
            the others stay negatives. Defaults to False.
        same_class_weight: What a negative counts that is matched with an instance of
            the same class as the query. Defaults to 1.0, as any other.
    """

    def __init__(
        self,
        temperature: float = 0.1,
        loss_weight: float = 1.0,
        reduction: str = "mean",
        own_frame_negatives: bool = False,
        matched_only: bool = False,
        same_class_weight: float = 1.0,
    ) -> None:
        super().__init__()
        require_choice(self, ("mean", "sum"), reduction=reduction)
        if same_class_weight <= 0:
            raise UsageError(
                f"BoxQueryContrastiveLoss has same_class_weight={same_class_weight}; "
                "give a number above 0."
            )
        self.temperature = temperature
        self.loss_weight = loss_weight
        self.reduction = reduction
        self.own_frame_negatives = own_frame_negatives
        self.matched_only = matched_only
        self.same_class_weight = same_class_weight

    def forward(self, embeddings: Tensor, labels: Tensor | None = None) -> Tensor:
        """Contrast the frames of each clip.

        Args:
            embeddings: (B, T, Q, C) projected box queries. With a single frame
                there is no pair, and the loss is zero.
            labels: (B, Q) class of the instance that a query is matched with, -1
                without one. ``matched_only`` and ``same_class_weight`` need it.

        Returns:
            Tensor: Scalar; zero if no query counts.
        """
        num_frames = embeddings.size(1)
        if num_frames == 1:
            return embeddings.sum() * 0.0
        unit = F.normalize(embeddings.float(), dim=-1)
        similarity = torch.einsum("btic,bsjc->btsij", unit, unit) / self.temperature
        positive = similarity.diagonal(dim1=3, dim2=4)
        if self.same_class_weight != 1:
            assert labels is not None
            similarity = similarity + self._log_weights(labels)
        info_nce = self._log_sum(similarity) - positive
        other = ~torch.eye(num_frames, dtype=torch.bool, device=unit.device)
        terms = info_nce[:, other]  # (B, T * (T - 1), Q)
        if self.matched_only:
            assert labels is not None
            terms = terms.transpose(1, 2)[labels >= 0]
            if terms.numel() == 0:
                return embeddings.sum() * 0.0
        scale = int(other.sum()) if self.reduction == "sum" else 1
        return self.loss_weight * scale * terms.mean()

    def _log_weights(self, labels: Tensor) -> Tensor:
        """(B, 1, 1, Q, Q) logarithm of what query j counts as a negative of query i."""
        same = (labels[:, :, None] == labels[:, None]) & (labels >= 0)[:, None]
        same &= ~torch.eye(labels.size(1), dtype=torch.bool, device=labels.device)
        return (same * math.log(self.same_class_weight))[:, None, None]

    def _log_sum(self, similarity: Tensor) -> Tensor:
        """Positive and negatives of query i of frame t in frame s, added up.

        Args:
            similarity: (B, T, T, Q, Q), with indices b, t, s, i, j.

        Returns:
            Tensor: (B, T, T, Q) logarithms.
        """
        log_sum = similarity.logsumexp(dim=-1)
        if not self.own_frame_negatives:
            return log_sum
        own = similarity.diagonal(dim1=1, dim2=2).movedim(-1, 1)  # (B, T, Q, Q)
        itself = torch.eye(own.size(-1), dtype=torch.bool, device=own.device)
        own = own.masked_fill(itself, -math.inf).logsumexp(dim=-1)
        return torch.logaddexp(log_sum, own[:, :, None])
