"""From the last decoder layer to per-frame results at the original resolution."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmengine.structures import InstanceData
from torch import Tensor


def select_instances(
    logits: Tensor, max_per_video: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The best pairs of query and class of a video.

    Args:
        logits: (Q, classes).
        max_per_video: How many pairs to keep.

    Returns:
        tuple: (n,) scores, descending, (n,) labels and (n,) query indices.
    """
    scores = logits.float().sigmoid().flatten()
    scores, index = scores.topk(min(max_per_video, len(scores)))
    return scores, index % logits.size(1), index // logits.size(1)


def resize_masks(
    logits: Tensor,
    image_size: tuple[int, int],
    output_size: tuple[int, int],
    stride: int = 4,
) -> Tensor:
    """Bring mask logits to the size of the original frames and threshold them.

    Cell i of the logits is centred on pixel ``stride * (i + 0.5)`` of the image, so
    one bilinear resize to the output's grid does it all.

    Args:
        logits: (n, T, h, w), which cover at least ``image_size``.
        image_size: (height, width) of the image the network saw, without padding.
        output_size: (height, width) of the original frames.
        stride: Pixels of the image per cell.

    Returns:
        Tensor: (n, T, height, width) bool, where the probability exceeds 0.5.
    """
    # The tiny surplus keeps rounding from losing the last row or column.
    scale = [
        stride * out / image * (1 + 1e-6)
        for out, image in zip(output_size, image_size, strict=True)
    ]
    logits = F.interpolate(
        logits.float(),
        scale_factor=scale,
        mode="bilinear",
        align_corners=False,
        recompute_scale_factor=False,
    )
    return logits[..., : output_size[0], : output_size[1]] > 0


def frame_results(
    boxes: Tensor,
    masks: Tensor | Sequence[dict],
    output_size: tuple[int, int],
    **of_the_video: Tensor,
) -> InstanceData:
    """Results of one frame in mmdet's tracking format.

    Args:
        boxes: (n, 4) cxcywh in [0, 1].
        masks: (n, H, W) bool or n run-length encodings.
        output_size: (height, width) of the original frame.
        of_the_video: ``scores`` (n,), ``labels`` (n,) and whatever else is the same in
            all frames.

    Returns:
        InstanceData: ``bboxes`` (n, 4) xyxy in pixels of the original frame,
        ``masks``, ``instances_id`` 0 to n - 1 and ``of_the_video``.
    """
    height, width = output_size
    scale = boxes.new_tensor([width, height, width, height])
    bboxes = (bbox_cxcywh_to_xyxy(boxes) * scale).clamp(min=0)
    return InstanceData(
        bboxes=torch.minimum(bboxes, scale),
        masks=masks,
        instances_id=torch.arange(len(boxes), device=boxes.device),
        **of_the_video,
    )
