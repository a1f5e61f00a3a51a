"""Classes, boxes and masks of a clip from its decoded queries."""

from __future__ import annotations

import torch
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.structures import TrackDataSample
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmdet.structures.mask import encode_mask_results
from mmdet.utils import reduce_mean
from mmengine.model import BaseModule, ModuleList, bias_init_with_prob
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ..structures import ClipFeatures, DecoderLayerOutput
from .clip_targets import ClipTargets, build_clip_targets
from .dynamic_conv_mask_head import mlp
from .video_results import frame_results, resize_masks, select_instances


@MODELS.register_module()
class TAFormerHead(BaseModule):
    """Prediction branches of every decoder layer and their losses.

    Class and box branches belong to a layer; the mask head and the projector of the
    contrastive loss are shared by all layers.

    Args:
        num_classes (int): Number of classes.
        num_layers (int): Number of decoder layers. Defaults to 6.
        embed_dims (int): Channels C. Defaults to 256.
        mask_head (dict): Config of the mask head.
        loss_cls, loss_bbox, loss_iou, loss_mask, loss_dice (dict): Configs of the
            losses; the paper weighs them 2, 5, 2, 2 and 5.
        loss_contrastive (dict, optional): Config of the loss on box queries; None
            leaves it and its projector out, which is SeqFormer.
        contrastive_aux (bool): Contrast the box queries of every decoder layer, or
            of the last one only (Table 6). Defaults to True.
        supervise_absent (bool): Whether the box losses count frames in which an
            instance is absent, with SeqFormer's target of four times 1e-6.
            Defaults to True.
        assigner (dict): Config of the matcher.
    """

    def __init__(
        self,
        num_classes: int,
        mask_head: dict,
        loss_cls: dict,
        loss_bbox: dict,
        loss_iou: dict,
        loss_mask: dict,
        loss_dice: dict,
        assigner: dict,
        loss_contrastive: dict | None = None,
        contrastive_aux: bool = True,
        supervise_absent: bool = True,
        num_layers: int = 6,
        embed_dims: int = 256,
        init_cfg=None,
    ) -> None:
        super().__init__(init_cfg)
        self.num_classes = num_classes
        self.contrastive_aux = contrastive_aux
        self.supervise_absent = supervise_absent
        self.cls_branches = ModuleList(
            nn.Linear(embed_dims, num_classes) for _ in range(num_layers)
        )
        self.reg_branches = ModuleList(
            mlp(embed_dims, embed_dims, 4) for _ in range(num_layers)
        )
        self.mask_head = MODELS.build(mask_head)
        self.loss_cls = MODELS.build(loss_cls)
        self.loss_bbox = MODELS.build(loss_bbox)
        self.loss_iou = MODELS.build(loss_iou)
        self.loss_mask = MODELS.build(loss_mask)
        self.loss_dice = MODELS.build(loss_dice)
        self.loss_contrastive = None
        if loss_contrastive is not None:
            self.loss_contrastive = MODELS.build(loss_contrastive)
            self.projector = nn.Sequential(
                nn.Linear(embed_dims, embed_dims),
                nn.ReLU(inplace=True),
                nn.Linear(embed_dims, embed_dims),
            )
        self.assigner = TASK_UTILS.build(assigner)

    def init_weights(self) -> None:
        """Deformable DETR's initialization of class and box branches."""
        super().init_weights()
        for branch in self.cls_branches:
            nn.init.constant_(branch.bias, bias_init_with_prob(0.01))
        for branch in self.reg_branches:
            nn.init.zeros_(branch[-1].weight)
            nn.init.zeros_(branch[-1].bias)
        # Boxes start small: sigmoid(-2) of the image.
        nn.init.constant_(self.reg_branches[0][-1].bias[2:], -2.0)

    def loss(
        self,
        outputs: list[DecoderLayerOutput],
        memory: ClipFeatures,
        samples: list[TrackDataSample],
    ) -> dict[str, Tensor]:
        """Losses of all decoder layers.

        Args:
            outputs: One per decoder layer.
            memory: The encoder's output.
            samples: The B clips with their ground truth.

        Returns:
            dict[str, Tensor]: The last layer's losses under their plain names, the
            others' with the prefix ``d{layer}.``.
        """
        features = self.mask_head.mask_features(memory)
        mask_size = [size * self.mask_head.upsampling for size in features.shape[-2:]]
        targets = [
            build_clip_targets(
                sample, tuple(mask_size), features.device, self.mask_head.output_stride
            )
            for sample in samples
        ]
        image_sizes = memory.tokens.new_tensor(
            [sample.video_data_samples[0].img_shape[1::-1] for sample in samples]
        )
        num_instances = (
            reduce_mean(
                features.new_tensor([sum(map(len, targets))], dtype=torch.float32)
            )
            .clamp(min=1)
            .item()
        )
        losses: dict[str, Tensor] = {}
        last = len(outputs) - 1
        for layer, output in enumerate(outputs):
            layer_losses = self.loss_by_layer(
                layer, output, features, image_sizes, targets, num_instances
            )
            if self.loss_contrastive and (self.contrastive_aux or layer == last):
                projected = self.projector(output.box_query)
                layer_losses["loss_contrastive"] = self.loss_contrastive(projected)
            prefix = "" if layer == last else f"d{layer}."
            losses |= {prefix + name: loss for name, loss in layer_losses.items()}
        return losses

    def loss_by_layer(
        self,
        layer: int,
        output: DecoderLayerOutput,
        features: Tensor,
        image_sizes: Tensor,
        targets: list[ClipTargets],
        num_instances: float,
    ) -> dict[str, Tensor]:
        """Losses of one decoder layer.

        Args:
            layer: Index of the layer.
            output: What the layer decoded.
            features: (B, T, C / 32, H, W) mask features.
            image_sizes: (B, 2) width and height of the unpadded images, in pixels.
            targets: Ground truth of the B clips.
            num_instances: Number of instances that losses are divided by.
        """
        logits = self.cls_branches[layer](output.instance_query).float()
        matches = [
            self.match(*args)
            for args in zip(logits, output.boxes, targets, strict=True)
        ]
        masks = self._matched_masks(output, matches, features, image_sizes)
        return {
            "loss_cls": self._loss_cls(logits, matches, targets, num_instances),
            **self._loss_boxes(output.boxes, matches, targets, num_instances),
            **self._loss_masks(masks, matches, targets, num_instances),
        }

    @torch.no_grad()
    def match(
        self, logits: Tensor, boxes: Tensor, targets: ClipTargets
    ) -> tuple[Tensor, Tensor]:
        """Match the queries of one clip with its instances.

        Args:
            logits: (Q, classes).
            boxes: (T, Q, 4) cxcywh in [0, 1].
            targets: The n instances of the clip.

        Returns:
            tuple[Tensor, Tensor]: (m,) query indices, ascending, and (m,) the
            instances they are matched with; m = min(Q, n).
        """
        # A diverged model shall be reported as a non-finite loss, by the loss.
        pred = InstanceData(
            scores=logits.nan_to_num(), bboxes=boxes.transpose(0, 1).nan_to_num()
        )
        truth = InstanceData(labels=targets.labels, bboxes=targets.boxes)
        assigned = self.assigner.assign(pred, truth, img_meta={}).gt_inds
        queries = assigned.nonzero(as_tuple=True)[0]
        return queries, assigned[queries] - 1

    @torch.no_grad()
    def predict(
        self,
        output: DecoderLayerOutput,
        memory: ClipFeatures,
        image_size: tuple[int, int],
        output_size: tuple[int, int],
        max_per_video: int = 10,
        encode: bool = False,
        frames_per_chunk: int | None = None,
    ) -> list[InstanceData]:
        """Results of one video.

        Args:
            output: The last decoder layer's, of one clip.
            memory: The encoder's output.
            image_size: (height, width) of the frames the network saw.
            output_size: (height, width) of the original frames.
            max_per_video: How many instances to keep. Defaults to 10.
            encode: Whether masks are returned run-length encoded, which is what
                long videos fit in memory with. Defaults to False.
            frames_per_chunk: How many frames' masks are computed at a time; the
                result does not depend on it.

        Returns:
            list[InstanceData]: One per frame, see :func:`frame_results`.
        """
        logits = self.cls_branches[-1](output.instance_query[0])
        scores, labels, queries = select_instances(logits, max_per_video)
        boxes = output.boxes[0, :, queries]
        height, width = image_size
        points = output.reference[0, :, queries, :2].transpose(0, 1)
        points = points * points.new_tensor([width, height])
        # A query kept for two classes has one mask.
        kept, inverse = queries.unique(return_inverse=True)
        points = points.new_zeros(len(kept), *points.shape[1:]).index_copy_(
            0, inverse, points
        )
        instance_query = output.instance_query[0, kept]
        results = []
        step = frames_per_chunk or memory.num_frames
        for first in range(0, memory.num_frames, step):
            last = min(first + step, memory.num_frames)
            features = self.mask_head.mask_features(memory, first, last)[0]
            masks = self.mask_head(instance_query, features, points[:, first:last])
            masks = resize_masks(
                masks,
                image_size,
                output_size,
                self.mask_head.output_stride,
            )
            for t in range(first, last):
                frame_masks: Tensor | list[dict] = masks[inverse, t - first]
                if encode:
                    encoded = encode_mask_results(masks[:, t - first].cpu().numpy())
                    frame_masks = [encoded[i] for i in inverse.tolist()]
                results.append(
                    frame_results(boxes[t], frame_masks, scores, labels, output_size)
                )
        return results

    def _loss_cls(self, logits, matches, targets, num_instances) -> Tensor:
        labels = torch.full_like(logits[..., 0], self.num_classes, dtype=torch.long)
        for clip, (queries, instances) in enumerate(matches):
            labels[clip, queries] = targets[clip].labels[instances]
        return self.loss_cls(
            logits.flatten(0, 1), labels.flatten(), avg_factor=num_instances
        )

    def _loss_boxes(self, boxes, matches, targets, num_instances) -> dict:
        pairs = list(zip(boxes, matches, targets, strict=True))
        pred = torch.cat([b[:, q].transpose(0, 1) for b, (q, _), _ in pairs])
        truth = torch.cat([t.boxes[i] for _, (_, i), t in pairs])
        present = torch.cat([t.present[i] for _, (_, i), t in pairs])
        avg_factor = num_instances * boxes.size(1)
        weight = torch.ones_like(present, dtype=pred.dtype)
        if not self.supervise_absent:
            weight = present.to(pred.dtype)
        pred, truth, weight = pred.flatten(0, 1), truth.flatten(0, 1), weight.flatten()
        return {
            "loss_bbox": self.loss_bbox(
                pred, truth, weight.unsqueeze(1).expand(-1, 4), avg_factor=avg_factor
            ),
            "loss_iou": self.loss_iou(
                bbox_cxcywh_to_xyxy(pred),
                bbox_cxcywh_to_xyxy(truth),
                weight,
                avg_factor=avg_factor,
            ),
        }

    def _matched_masks(self, output, matches, features, image_sizes) -> Tensor:
        """(n, T, h, w) mask logits of the matched queries of all clips."""
        queries = torch.cat([queries for queries, _ in matches])
        counts = queries.new_tensor([len(matched) for matched, _ in matches])
        clips = torch.arange(len(matches), device=counts.device)
        clips = clips.repeat_interleave(counts)
        points = output.reference[clips, :, queries, :2]
        return self.mask_head(
            output.instance_query[clips, queries],
            features.index_select(0, clips),
            points * image_sizes[clips].unsqueeze(1),
        )

    def _loss_masks(self, masks, matches, targets, num_instances) -> dict:
        pred = masks.flatten(1)
        truth = torch.cat(
            [
                target.masks[instances].flatten(1)
                for (_, instances), target in zip(matches, targets, strict=True)
            ]
        )
        return {
            "loss_mask": self.loss_mask(
                pred, truth, avg_factor=num_instances * pred.size(1)
            ),
            "loss_dice": self.loss_dice(pred, truth, avg_factor=num_instances),
        }
