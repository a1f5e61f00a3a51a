"""Masks to YouTube-VIS annotations."""

from typing import Any

import numpy as np

from mmtaformer.ytvis.rle import run_lengths

MIN_VISIBLE_PIXELS = 8  # a smaller rest of an object counts as hidden


def mask_to_bbox(mask: np.ndarray) -> list[float]:
    """x, y, width, height in pixels of a non-empty (H, W) bool mask."""
    columns = np.flatnonzero(mask.any(axis=0))
    rows = np.flatnonzero(mask.any(axis=1))
    x, y = columns[0], rows[0]
    width, height = columns[-1] - x + 1, rows[-1] - y + 1
    return [float(x), float(y), float(width), float(height)]


def annotate(
    masks: np.ndarray, category_id: int, visibilities: np.ndarray | None = None
) -> dict[str, Any] | None:
    """Annotation of one object without its ids.

    Args:
        masks: (T, H, W) bool visible masks.
        category_id: Category of the object.
        visibilities: (T,) what is left of the object in each frame, in [0, 1].

    Returns:
        The annotation, with null in frames where fewer than ``MIN_VISIBLE_PIXELS``
        are visible; None if the object is visible in no frame. ``visibilities`` is an
        entry of its own that other readers ignore.
    """
    areas = masks.sum(axis=(1, 2))
    visible = areas >= MIN_VISIBLE_PIXELS
    if not visible.any():
        return None

    extra = {}
    if visibilities is not None:
        extra["visibilities"] = np.round(visibilities, 6).tolist()
    return {
        "category_id": category_id,
        "iscrowd": 0,
        "length": masks.shape[0],
        "height": masks.shape[1],
        "width": masks.shape[2],
        "segmentations": [
            run_lengths(mask) if seen else None for mask, seen in zip(masks, visible)
        ],
        "bboxes": [
            mask_to_bbox(mask) if seen else None for mask, seen in zip(masks, visible)
        ],
        "areas": [int(area) if seen else None for area, seen in zip(areas, visible)],
        **extra,
    }
