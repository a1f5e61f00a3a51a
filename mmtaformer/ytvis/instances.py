"""Turning annotations of the YouTube-VIS format into mmdet's instances."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .rle import Rle, area, bounding_box


def parse_instances(
    annotation: Mapping[str, Any], video: Mapping[str, Any], label: int
) -> list[dict[str, Any] | None]:
    """Turn one annotation into one instance per frame.

    A box is the one of the file; where there is none, or it has no area inside the
    image, it is the box around the mask.

    Args:
        annotation: Entry of ``annotations``, as :func:`check_annotations` returns it.
        video: Entry of ``videos`` that it belongs to.
        label: Class index of the instance.

    Returns:
        One dict per frame with ``bbox`` (xyxy in pixels), ``bbox_label``, ``mask``
        (RLE), ``instance_id`` (the id of the annotation) and ``ignore_flag`` (1 for
        crowds, which are no training targets); None where the instance is absent or
        its mask is empty.
    """
    rles = annotation["segmentations"]
    boxes = annotation.get("bboxes") or [None] * len(rles)
    size = (video["width"], video["height"])
    frames: list[dict[str, Any] | None] = []
    for rle, box in zip(rles, boxes, strict=True):
        if rle is None or not area(rle):
            frames.append(None)
            continue
        frames.append(
            dict(
                bbox=_clip_box(box, size) or _mask_box(rle),
                bbox_label=label,
                mask=rle,
                instance_id=annotation["id"],
                ignore_flag=annotation.get("iscrowd", 0),
            )
        )
    return frames


def _clip_box(box: Sequence[float] | None, size: tuple[int, int]) -> list[float] | None:
    """Clip an xywh box to the image and make it xyxy; None if nothing is left."""
    if box is None:
        return None
    x, y, w, h = map(float, box)
    x1, y1, x2, y2 = max(x, 0.0), max(y, 0.0), min(x + w, size[0]), min(y + h, size[1])
    # In float32, as tensors have it, a box of a millionth of a pixel has no area.
    if np.float32(x2) <= np.float32(x1) or np.float32(y2) <= np.float32(y1):
        return None
    return [x1, y1, float(x2), float(y2)]


def _mask_box(rle: Rle) -> list[float]:
    """Box around a mask, xyxy in pixels."""
    x, y, w, h = bounding_box(rle)
    return [x, y, x + w, y + h]
