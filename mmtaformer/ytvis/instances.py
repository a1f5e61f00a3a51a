"""Turning annotations of the YouTube-VIS format into mmdet's instances."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pycocotools import mask as mask_utils


def parse_instances(
    annotation: Mapping[str, Any], video: Mapping[str, Any], label: int
) -> list[dict[str, Any] | None]:
    """Turn one annotation into one instance per frame.

    Every kind of mask becomes a compressed RLE, which is small to keep and fast to
    decode. A box is the one of the file; where there is none, or it has no area
    inside the image, it is the box around the mask.

    Args:
        annotation: Entry of ``annotations``.
        video: Entry of ``videos`` that it belongs to.
        label: Class index of the instance.

    Returns:
        One dict per frame with ``bbox`` (xyxy in pixels), ``bbox_label``, ``mask``
        (RLE), ``instance_id`` (the id of the annotation) and ``ignore_flag`` (1 for
        crowds, which are no training targets); None where the instance is absent or
        its mask is empty.

    Raises:
        ValueError: If a mask or a box is malformed or has another size.
    """
    height, width = video["height"], video["width"]
    boxes = annotation.get("bboxes") or [None] * len(annotation["segmentations"])
    frames: list[dict[str, Any] | None] = []
    for index, mask in enumerate(annotation["segmentations"]):
        try:
            rle = encode_mask(mask, height, width)
            if rle is None or mask_utils.area(rle) == 0:
                frames.append(None)
                continue
            box = _clip_box(boxes[index], height, width) or _mask_box(rle)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"annotation {annotation['id']}, video {video['id']}, frame {index} "
                f"({video['file_names'][index]}): {error}"
            ) from error
        frames.append(
            dict(
                bbox=box,
                bbox_label=label,
                mask=rle,
                instance_id=annotation["id"],
                ignore_flag=int(bool(annotation.get("iscrowd"))),
            )
        )
    return frames


def encode_mask(mask: Any, height: int, width: int) -> dict[str, Any] | None:
    """Encode any mask of the YouTube-VIS format as a compressed RLE.

    Polygons of fewer than three points have no area and are left out.

    Args:
        mask: Polygons ``[[x1, y1, x2, y2, ...], ...]`` in pixels, a compressed or
            uncompressed RLE, or None.
        height: Height of the image in pixels.
        width: Width of the image in pixels.

    Returns:
        Dict with ``size`` [height, width] and ``counts`` (str), or None if nothing
        is there.

    Raises:
        ValueError: If the mask is malformed or has another size.
    """
    if mask is None or mask == []:
        return None
    if isinstance(mask, list):
        rle = _encode_polygons(mask, height, width)
        if rle is None:
            return None
    elif isinstance(mask, dict) and "counts" in mask and "size" in mask:
        rle = _encode_rle(mask, height, width)
    else:
        raise ValueError(
            "the mask is neither null, nor polygons, nor an RLE with 'size' and "
            "'counts'; correct the file."
        )
    counts = rle["counts"]
    if isinstance(counts, bytes):
        # mmdet ignores masks whose counts are bytes.
        counts = counts.decode("ascii")
    return dict(size=[height, width], counts=counts)


def _encode_polygons(
    polygons: Sequence[Any], height: int, width: int
) -> dict[str, Any] | None:
    """Draw polygons; None if none of them has three points."""
    for polygon in polygons:
        numbers = isinstance(polygon, list) and all(map(_is_number, polygon))
        if not numbers or len(polygon) % 2:
            raise ValueError(
                "a polygon is not a list of x, y pairs; give polygons as "
                "[[x1, y1, x2, y2, ...], ...]."
            )
    polygons = [polygon for polygon in polygons if len(polygon) >= 6]
    if not polygons:
        return None
    return mask_utils.merge(mask_utils.frPyObjects(polygons, height, width))


def _encode_rle(mask: Mapping[str, Any], height: int, width: int) -> dict[str, Any]:
    """Compress an RLE and check its size."""
    if list(mask["size"]) != [height, width]:
        raise ValueError(
            f"the mask has height and width {list(mask['size'])}, but the video has "
            f"{[height, width]}; correct the file."
        )
    counts = mask["counts"]
    if not isinstance(counts, list):
        return dict(mask)
    if sum(counts) != height * width:
        raise ValueError(
            f"the counts of the mask add up to {sum(counts)}, but the image has "
            f"{height} x {width} pixels; correct the file."
        )
    return mask_utils.frPyObjects(dict(mask), height, width)


def _clip_box(box: Any, height: int, width: int) -> list[float] | None:
    """Clip an xywh box to the image and make it xyxy; None if nothing is left."""
    if box is None:
        return None
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        raise ValueError(f"the box {box} is not [x, y, width, height]; correct it.")
    x, y, w, h = box
    x1, y1, x2, y2 = max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)
    if x2 <= x1 or y2 <= y1:
        return None
    return [float(x1), float(y1), float(x2), float(y2)]


def _mask_box(rle: dict[str, Any]) -> list[float]:
    """Box around a mask, xyxy in pixels."""
    x, y, w, h = mask_utils.toBbox(rle).tolist()
    return [x, y, x + w, y + h]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
