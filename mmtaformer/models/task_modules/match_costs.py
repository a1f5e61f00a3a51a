"""Matching costs between box sequences, for mmdet's HungarianAssigner."""

from __future__ import annotations

import torch
from mmdet.models.task_modules.assigners.match_cost import BaseMatchCost
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_overlaps
from mmengine.structures import InstanceData
from torch import Tensor


@TASK_UTILS.register_module()
class BoxSequenceL2Cost(BaseMatchCost):
    """L2 distance between two box sequences flattened to T * 4 numbers.

    SeqFormer's released code takes this distance and does not divide it by T.
    Boxes are cxcywh in [0, 1], (Q, T, 4) and (n, T, 4).
    """

    def __call__(
        self,
        pred_instances: InstanceData,
        gt_instances: InstanceData,
        img_meta: dict | None = None,
        **kwargs,
    ) -> Tensor:
        """Compute the (Q, n) cost from ``bboxes`` of both."""
        pred, target = pred_instances.bboxes, gt_instances.bboxes
        return self.weight * torch.cdist(pred.flatten(1), target.flatten(1))


@TASK_UTILS.register_module()
class BoxSequenceGIoUCost(BaseMatchCost):
    """Negative GIoU of two box sequences, averaged over their frames.

    Boxes are cxcywh in [0, 1], (Q, T, 4) and (n, T, 4).
    """

    def __call__(
        self,
        pred_instances: InstanceData,
        gt_instances: InstanceData,
        img_meta: dict | None = None,
        **kwargs,
    ) -> Tensor:
        """Compute the (Q, n) cost from ``bboxes`` of both."""
        pred = bbox_cxcywh_to_xyxy(pred_instances.bboxes).transpose(0, 1)
        target = bbox_cxcywh_to_xyxy(gt_instances.bboxes).transpose(0, 1)
        overlaps = bbox_overlaps(pred, target, mode="giou", eps=1e-12)
        return -self.weight * overlaps.mean(dim=0)
