"""Overlap of instances over time."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

Tube = Sequence[Mapping[str, Any] | None]


def tube_areas(tubes: Sequence[Tube]) -> np.ndarray:
    """Sum the pixels of each instance over all frames.

    Args:
        tubes: One sequence of masks (RLE, or None where absent) per instance.

    Returns:
        (n,) float64.
    """
    return np.array(
        [sum(int(mask_utils.area(rle)) for rle in tube if rle) for tube in tubes],
        dtype=float,
    )


def tube_ious(first: Sequence[Tube], second: Sequence[Tube]) -> np.ndarray:
    """Intersection over union of instances over all frames, as the evaluation has it.

    Args:
        first: n sequences of masks (RLE, or None where absent), one mask per frame.
        second: m sequences over the same frames.

    Returns:
        (n, m) float64 in [0, 1]; 0 for two instances that are absent everywhere.
    """
    intersection = np.zeros((len(first), len(second)))
    for masks, others in zip(zip(*first), zip(*second), strict=False):
        rows = [i for i, rle in enumerate(masks) if rle]
        columns = [j for j, rle in enumerate(others) if rle]
        if not rows or not columns:
            continue
        a, b = [masks[i] for i in rows], [others[j] for j in columns]
        ious = np.asarray(mask_utils.iou(a, b, [0] * len(b)))
        total = mask_utils.area(a)[:, None].astype(float) + mask_utils.area(b)[None]
        intersection[np.ix_(rows, columns)] += ious * total / (1 + ious)
    union = tube_areas(first)[:, None] + tube_areas(second)[None] - intersection
    return intersection / np.maximum(union, 1)
