"""How good masks are where an object is drawn in full, and where it is not."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mmtaformer.utils.errors import DataError
from mmtaformer.ytvis.json_files import PathType
from mmtaformer.ytvis.results import load_ground_truth, load_results
from mmtaformer.ytvis.rle import overlap


def has_visibilities(ground_truth: Mapping[str, Any]) -> bool:
    """Tell whether annotations say how much of an object is drawn in each frame.

    Args:
        ground_truth: Content of an annotation file.
    """
    return any("visibilities" in entry for entry in ground_truth["annotations"])


def iou_by_visibility(
    gt: Mapping[str, Any] | PathType,
    results: Sequence[Mapping[str, Any]] | PathType,
    by_category: bool = True,
) -> dict[str, Any]:
    """Split the IoU of masks by whether the frame shows the object in full.

    In each video objects and results are matched one to one so that the sum of their
    IoU over the whole video is largest; scores play no part. An object without a
    result has IoU 0 in each of its frames.

    Args:
        gt: Ground truth with ``visibilities``: path of the JSON, or its content.
        results: Path of a results JSON or submission zip, or the entries.
        by_category: Whether only results of its category fit an object.

    Returns:
        ``IoU_drawn`` and ``IoU_weakened``, means over the annotated frames whose
        visibility is 1 and less (None where there is none), and the numbers of these
        frames, ``frames_drawn`` and ``frames_weakened``.

    Raises:
        FileNotFoundError: If a file does not exist.
        DataError: If a file is malformed, the two do not belong together, or an
            annotation has no visibilities.
    """
    ground_truth = load_ground_truth(gt)
    entries = load_results(results, ground_truth)
    ious: dict[bool, list[float]] = {True: [], False: []}
    for video in ground_truth["videos"]:
        objects = _of_video(ground_truth["annotations"], video["id"])
        found = _of_video(entries, video["id"])
        for entry, result in _match(objects, found, by_category):
            for drawn, iou in _frame_ious(entry, result):
                ious[drawn].append(iou)
    return {
        "IoU_drawn": _mean(ious[True]),
        "IoU_weakened": _mean(ious[False]),
        "frames_drawn": len(ious[True]),
        "frames_weakened": len(ious[False]),
    }


def _of_video(
    entries: Iterable[Mapping[str, Any]], video_id: int
) -> list[Mapping[str, Any]]:
    return [entry for entry in entries if entry["video_id"] == video_id]


def _match(
    objects: Sequence[Mapping[str, Any]],
    results: Sequence[Mapping[str, Any]],
    by_category: bool,
) -> list[tuple[Mapping[str, Any], Mapping[str, Any] | None]]:
    """Pairs of an object and its result, or None."""
    from scipy.optimize import linear_sum_assignment  # not for everyone who imports us

    ious = np.zeros((len(objects), len(results)))
    for i, entry in enumerate(objects):
        for j, result in enumerate(results):
            if not by_category or entry["category_id"] == result["category_id"]:
                ious[i, j] = _video_iou(entry["segmentations"], result["segmentations"])
    pairs = dict(zip(*linear_sum_assignment(ious, maximize=True)))
    matched = {i: results[j] for i, j in pairs.items() if ious[i, j] > 0}
    return [(entry, matched.get(i)) for i, entry in enumerate(objects)]


def _video_iou(first: Sequence[Any], second: Sequence[Any]) -> float:
    """IoU of two sequences of masks, as the official evaluation has it."""
    common, union = np.sum([overlap(a, b) for a, b in zip(first, second)], axis=0)
    return common / union if union else 0.0


def _frame_ious(
    entry: Mapping[str, Any], result: Mapping[str, Any] | None
) -> list[tuple[bool, float]]:
    """For each annotated frame, whether the object is drawn in full, and the IoU."""
    rles = entry["segmentations"]
    visibilities = entry.get("visibilities")
    if not isinstance(visibilities, list) or len(visibilities) != len(rles):
        raise DataError(
            f"Annotation {entry['id']} has no 'visibilities', one per frame, so its "
            "frames cannot be told apart; give a file that generate_synthvis.py wrote "
            "for the level deform or identity."
        )
    found = result["segmentations"] if result else [None] * len(rles)
    pairs = []
    for visibility, rle, other in zip(visibilities, rles, found, strict=True):
        if rle is not None:
            common, union = overlap(rle, other)
            pairs.append((visibility >= 1, common / union))
    return pairs


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
