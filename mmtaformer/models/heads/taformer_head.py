"""Classes, boxes and masks of a clip from its decoded queries."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.structures import TrackDataSample
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmdet.structures.mask import encode_mask_results
from mmdet.utils import reduce_mean
from mmengine.model import BaseModule, ModuleList, bias_init_with_prob
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ..checks import require_positive
from ..layers.mlp import mlp
from ..structures import ClipFeatures, DecoderLayerOutput
from .clip_targets import ClipTargets, build_clip_targets
from .video_results import frame_results, resize_masks, select_instances


@MODELS.register_module()
class TAFormerHead(BaseModule):
    """Prediction branches of every decoder layer and their losses.

    Class and box branches belong to a layer; the mask head and the projector of the
    contrastive loss are shared by all layers.

    Args:
        num_classes: Number of classes.
        mask_head: Config of the mask head.
        loss_cls: Config of the loss on classes; the paper weighs it 2.
        loss_bbox: Config of the L1 loss on boxes; 5 in the paper.
        loss_iou: Config of the GIoU loss; 2 in the paper.
        loss_mask: Config of the focal loss on mask tubes; 2 in the paper.
        loss_dice: Config of the dice loss; 5 in the paper.
        assigner: Config of the matcher.
        loss_contrastive: Config of the loss on box queries, which takes them
            projected and the classes they are matched with; None leaves it and its
            projector out, which is SeqFormer.
        contrastive_aux: Contrast the box queries of every decoder layer, or of the
            last one only (Table 6).
        supervise_absent: Whether the box losses count frames in which an instance is
            absent, with SeqFormer's target of four times 1e-6.
        num_layers: Number of decoder layers.
        embed_dims: Channels C.
        init_cfg: Initialization config.
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
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        require_positive(self, num_classes=num_classes, num_layers=num_layers)
        self.embed_dims = embed_dims
        self.num_layers = num_layers
        self.num_classes = num_classes
        self.contrastive_aux = contrastive_aux
        self.supervise_absent = supervise_absent
        # As in Deformable DETR all layers start alike.
        cls_branch = nn.Linear(embed_dims, num_classes)
        reg_branch = mlp(embed_dims, embed_dims, 4)
        self.cls_branches = ModuleList(deepcopy(cls_branch) for _ in range(num_layers))
        self.reg_branches = ModuleList(deepcopy(reg_branch) for _ in range(num_layers))
        self.mask_head = MODELS.build(mask_head)
        self.loss_cls = MODELS.build(loss_cls)
        self.loss_bbox = MODELS.build(loss_bbox)
        self.loss_iou = MODELS.build(loss_iou)
        self.loss_mask = MODELS.build(loss_mask)
        self.loss_dice = MODELS.build(loss_dice)
        self.loss_contrastive = None
        if loss_contrastive is not None:
            self.loss_contrastive = MODELS.build(loss_contrastive)
            self.projector = mlp(embed_dims, embed_dims, embed_dims, num_layers=2)
        self.assigner = TASK_UTILS.build(assigner)

    def init_weights(self) -> None:
        """Deformable DETR's initialization of class and box branches."""
        for branch in self.cls_branches:
            nn.init.constant_(branch.bias, bias_init_with_prob(0.01))
        for branch in self.reg_branches:
            nn.init.zeros_(branch[-1].weight)
            nn.init.zeros_(branch[-1].bias)
        # Boxes start small: sigmoid(-2) of the image.
        nn.init.constant_(self.reg_branches[0][-1].bias[2:], -2.0)
        super().init_weights()

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
        for layer, output in enumerate(outputs):
            layer_losses = self.loss_by_layer(
                layer,
                output,
                features=features,
                image_sizes=image_sizes,
                targets=targets,
                num_instances=num_instances,
            )
            prefix = "" if layer == self.num_layers - 1 else f"d{layer}."
            losses |= {prefix + name: loss for name, loss in layer_losses.items()}
        return losses

    def loss_by_layer(
        self,
        layer: int,
        output: DecoderLayerOutput,
        *,
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
        labels = self._matched_labels(logits, matches, targets)
        masks = self._matched_masks(output, matches, features, image_sizes)
        return {
            "loss_cls": self._loss_cls(logits, labels, num_instances),
            **self._loss_boxes(output.boxes, matches, targets, num_instances),
            **self._loss_masks(masks, matches, targets, num_instances),
            **self._loss_contrastive(layer, output.box_query, labels),
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

    def predict(
        self,
        output: DecoderLayerOutput,
        memory: ClipFeatures,
        *,
        image_size: tuple[int, int],
        output_size: tuple[int, int],
        max_per_video: int = 10,
        encode: bool = False,
        embed: bool = False,
    ) -> list[InstanceData]:
        """Results of one video.

        Args:
            output: The last decoder layer's, of one clip.
            memory: The encoder's output.
            image_size: (height, width) of the frames the network saw.
            output_size: (height, width) of the original frames.
            max_per_video: How many instances to keep.
            encode: Whether masks are returned run-length encoded, which is what
                long videos fit in memory with.
            embed: Whether each instance comes with its :meth:`embeddings`.

        Returns:
            list[InstanceData]: One per frame, see :func:`frame_results`.
        """
        logits = self.cls_branches[-1](output.instance_query[0])
        scores, labels, queries = select_instances(logits, max_per_video)
        boxes = output.boxes[0, :, queries]
        same = dict(scores=scores, labels=labels)
        if embed:
            same["embeddings"] = self.embeddings(output.box_query[0, :, queries])
        # A query that is kept for two classes has one mask.
        kept, copies = queries.unique(return_inverse=True)
        masks = self._masks_by_frame(output, memory, kept, image_size, output_size)
        results = []
        for frame_boxes, frame_masks in zip(boxes, masks, strict=True):
            chosen: Tensor | list[dict]
            if encode:
                encoded = encode_mask_results(frame_masks.cpu().numpy())
                chosen = [encoded[i] for i in copies.tolist()]
            else:
                chosen = frame_masks[copies]
            results.append(frame_results(frame_boxes, chosen, output_size, **same))
        return results

    def embeddings(self, box_query: Tensor) -> Tensor:
        """What the contrastive loss makes alike for one instance in all frames.

        Args:
            box_query: (T, n, C) of the last layer.

        Returns:
            Tensor: (n, C) mean over time of the projected box queries, or of the box
            queries themselves without the contrastive loss; of length 1.
        """
        if self.loss_contrastive is not None:
            box_query = self.projector(box_query)
        return F.normalize(box_query.float().mean(dim=0), dim=-1)

    def _masks_by_frame(
        self,
        output: DecoderLayerOutput,
        memory: ClipFeatures,
        queries: Tensor,
        image_size: tuple[int, int],
        output_size: tuple[int, int],
    ) -> Iterator[Tensor]:
        """(n, height, width) bool masks of some queries, one frame after the other."""
        points = output.reference[0, :, queries, :2].transpose(0, 1)
        points = points * points.new_tensor(image_size[::-1])
        stride = self.mask_head.output_stride
        for window in memory.windows():
            masks = self.mask_head(
                output.instance_query[0, queries],
                self.mask_head.mask_features(window.features)[0],
                points[:, window.frames],
            )
            yield from resize_masks(masks, image_size, output_size, stride).unbind(1)

    @staticmethod
    def _matched_labels(logits, matches, targets) -> Tensor:
        """(B, Q) class of the instance of each query, -1 for those without one."""
        labels = torch.full_like(logits[..., 0], -1, dtype=torch.long)
        for clip, (queries, instances) in enumerate(matches):
            labels[clip, queries] = targets[clip].labels[instances]
        return labels

    def _loss_cls(self, logits, labels, num_instances) -> Tensor:
        labels = labels.where(labels >= 0, self.num_classes)
        return self.loss_cls(
            logits.flatten(0, 1), labels.flatten(), avg_factor=num_instances
        )

    def _loss_contrastive(self, layer, box_query, labels) -> dict:
        is_last = layer == self.num_layers - 1
        if self.loss_contrastive is None or not (self.contrastive_aux or is_last):
            return {}
        projected = self.projector(box_query)
        return {"loss_contrastive": self.loss_contrastive(projected, labels)}

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
