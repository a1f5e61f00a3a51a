"""Ground truth of a clip, aligned over its frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from mmdet.structures import TrackDataSample
from mmdet.structures.bbox import bbox_xyxy_to_cxcywh, get_box_tensor
from torch import Tensor

# What SeqFormer's released code supervises where an instance is not visible.
ABSENT_BOX = 1e-6


@dataclass(frozen=True)
class ClipTargets:
    """The n instances of one clip.

    Attributes:
        labels: (n,) class indices.
        boxes: (n, T, 4) cxcywh in [0, 1] of the unpadded image; 1e-6 four times
            where the instance is absent.
        masks: (n, T, h, w) float, at a quarter of the padded image's size; empty
            where the instance is absent.
        present: (n, T) bool, whether the instance is visible in the frame.
    """

    labels: Tensor
    boxes: Tensor
    masks: Tensor
    present: Tensor

    def __len__(self) -> int:
        return len(self.labels)


def build_clip_targets(
    sample: TrackDataSample,
    mask_size: tuple[int, int],
    device: torch.device,
    stride: int = 4,
) -> ClipTargets:
    """Collect the instances that are visible in any frame of a clip.

    Args:
        sample: One clip; each frame's ``gt_instances`` has ``bboxes`` (xyxy in
            pixels), ``labels``, ``masks`` (BitmapMasks) and ``instances_ids``.
        mask_size: (h, w) of the mask logits to be compared with.
        device: where the targets shall lie.
        stride: Stride of the mask logits in pixels. The masks are read at every
            ``stride``-th pixel, from the middle of the first cell.

    Returns:
        ClipTargets: Instances in the order of their first appearance.
    """
    frames = [frame.gt_instances for frame in sample.video_data_samples]
    frame_ids = [frame.instances_ids.tolist() for frame in frames]
    rows = {
        instance_id: row
        for row, instance_id in enumerate(
            dict.fromkeys(i for ids in frame_ids for i in ids)
        )
    }
    num_instances, num_frames = len(rows), len(frames)
    height, width = sample.video_data_samples[0].img_shape[:2]
    scale = torch.tensor([width, height, width, height], dtype=torch.float32)

    labels = torch.zeros(num_instances, dtype=torch.long)
    boxes = torch.full((num_instances, num_frames, 4), ABSENT_BOX)
    present = torch.zeros(num_instances, num_frames, dtype=torch.bool)
    masks = np.zeros((num_instances, num_frames, *mask_size), dtype=np.uint8)
    for t, (frame, ids) in enumerate(zip(frames, frame_ids, strict=True)):
        if not ids:
            continue
        index = [rows[i] for i in ids]
        labels[index] = frame.labels.cpu()
        frame_boxes = get_box_tensor(frame.bboxes).cpu().float()
        boxes[index, t] = bbox_xyxy_to_cxcywh(frame_boxes) / scale
        present[index, t] = True
        cells = frame.masks.masks[:, stride // 2 :: stride, stride // 2 :: stride]
        cells = cells[:, : mask_size[0], : mask_size[1]]
        masks[index, t, : cells.shape[1], : cells.shape[2]] = cells
    return ClipTargets(
        labels=labels.to(device),
        boxes=boxes.to(device),
        masks=torch.from_numpy(masks).to(device).float(),
        present=present.to(device),
    )
