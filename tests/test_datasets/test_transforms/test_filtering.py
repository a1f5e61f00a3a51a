import numpy as np
import pytest
from mmdet.structures.mask import BitmapMasks

from mmtaformer.datasets import FilterEmptyClip


def clip(frames):
    """Each instance of a frame is (id, number of visible pixels, ignore flag)."""
    results = {
        "gt_bboxes": [],
        "gt_bboxes_labels": [],
        "gt_instances_ids": [],
        "gt_ignore_flags": [],
        "gt_masks": [],
    }
    for frame in frames:
        ids = np.array([i for i, _, _ in frame], dtype=np.int64)
        masks = np.zeros((len(frame), 4, 5), np.uint8)
        for mask, (_, area, _) in zip(masks, frame, strict=True):
            mask.flat[:area] = 1
        results["gt_bboxes"].append(
            np.repeat(ids[:, None], 4, axis=1).astype(np.float32)
        )
        results["gt_bboxes_labels"].append(ids + 100)
        results["gt_instances_ids"].append(ids)
        results["gt_ignore_flags"].append(np.array([f for _, _, f in frame], bool))
        results["gt_masks"].append(BitmapMasks(masks, 4, 5))
    return results


def test_all_fields_stay_together():
    frames = [
        [(3, 2, 0), (0, 0, 0), (8, 1, 1)],
        [(8, 0, 1), (0, 7, 0)],
        [],
        [(3, 0, 0)],
    ]
    results = FilterEmptyClip()(clip(frames))
    assert [i.tolist() for i in results["gt_instances_ids"]] == [[3, 8], [0], [], []]
    assert [m.areas.tolist() for m in results["gt_masks"]] == [[2, 1], [7], [], []]
    assert [f.tolist() for f in results["gt_ignore_flags"]] == [
        [False, True],
        [False],
        [],
        [],
    ]
    for ids, labels, boxes in zip(
        results["gt_instances_ids"],
        results["gt_bboxes_labels"],
        results["gt_bboxes"],
        strict=True,
    ):
        assert boxes.shape == (len(ids), 4)
        assert (labels == ids + 100).all()
        assert (boxes == ids[:, None]).all()


@pytest.mark.parametrize(
    "frames",
    [[[], []], [[(1, 0, 0)], []], [[(1, 5, 1)], [(1, 5, 1)]]],
    ids=["no instance", "empty masks", "crowds"],
)
def test_clips_without_anything_to_learn_are_dropped(frames):
    assert FilterEmptyClip()(clip(frames)) is None
