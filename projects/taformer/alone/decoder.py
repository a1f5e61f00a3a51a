"""Decoder and head on features that are given."""

import numpy as np
import torch
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_overlaps
from torch import Tensor

from mmtaformer.models.heads.clip_targets import ClipTargets
from mmtaformer.models.layers import TemporalSelfAttention

from .trial import STRIDE, Trial
from .videos import HEIGHT, WIDTH, Clips, draw_ellipses


class DecoderTrial(Trial):
    """Decoder and head, trained with all losses of the head, judged by their boxes."""

    temporal_layers = (TemporalSelfAttention,)

    def loss(self, clips: Clips) -> Tensor:
        """Sum of all losses of the head."""
        memory = self.features(clips, self.rng)
        head = self.model.bbox_head
        features = head.mask_head.mask_features(memory)
        targets = [
            ClipTargets(
                labels=torch.arange(boxes.size(1)),
                boxes=boxes.transpose(0, 1),
                masks=draw_ellipses(boxes.transpose(0, 1), (2 * HEIGHT, 2 * WIDTH)),
                present=torch.ones(boxes.shape[1::-1], dtype=torch.bool),
            )
            for boxes in clips.boxes
        ]
        size = features.new_tensor([WIDTH * STRIDE, HEIGHT * STRIDE])
        losses: list[Tensor] = []
        for layer, output in enumerate(self.model.decode(memory)):
            losses += head.loss_by_layer(
                layer,
                output,
                features=features,
                image_sizes=size.expand(len(targets), 2),
                targets=targets,
                num_instances=float(sum(map(len, targets))),
            ).values()
        return torch.stack(losses).sum()

    def ious(self, clips: Clips, rng: np.random.Generator) -> Tensor:
        """IoU of the boxes of the query with the best score for an object's class."""
        output = self.model.decode(self.features(clips, rng), last_only=True)[-1]
        scores = self.model.bbox_head.cls_branches[-1](output.instance_query)
        best = scores[..., : clips.boxes.size(2)].argmax(dim=1)
        index = best[:, None, :, None].expand(-1, clips.boxes.size(1), -1, 4)
        return bbox_overlaps(
            bbox_cxcywh_to_xyxy(output.boxes.gather(2, index)).flatten(0, 2),
            bbox_cxcywh_to_xyxy(clips.boxes).flatten(0, 2),
            is_aligned=True,
        ).view(clips.boxes.shape[:3])
