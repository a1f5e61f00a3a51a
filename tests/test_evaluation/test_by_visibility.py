import copy

import numpy as np
import pytest

from mmtaformer.evaluation import has_visibilities, iou_by_visibility
from mmtaformer.utils.errors import DataError
from mmtaformer.ytvis.rle import encode_masks

SIZE = (20, 30)
VISIBILITIES = ([1.0, 0.0, 0.5, 1.0], [1.0, 1.0, 0.0, 1.0])


def tube(x, width=10):
    masks = np.zeros((4, *SIZE), bool)
    masks[:, 5:15, x : x + width] = True
    return masks


def segmentations(masks):
    return [r if m.any() else None for r, m in zip(encode_masks(masks), masks)]


@pytest.fixture
def truth():
    annotations = [
        dict(
            id=i + 1,
            video_id=1,
            category_id=i + 1,
            iscrowd=0,
            segmentations=segmentations(tube(15 * i)),
            visibilities=VISIBILITIES[i],
        )
        for i in range(2)
    ]
    annotations[1]["segmentations"][3] = None
    return dict(
        videos=[dict(id=1, width=30, height=20, file_names=list("abcd"))],
        categories=[dict(id=1, name="one"), dict(id=2, name="two")],
        annotations=annotations,
    )


def result(masks, category_id, score=0.5):
    return dict(
        video_id=1,
        category_id=category_id,
        score=score,
        segmentations=segmentations(masks),
    )


def test_frames_are_told_apart_by_their_visibility(truth):
    """Object 1 is half covered where it is weakened; nobody finds object 2."""
    masks = tube(0)
    masks[1:3, :, 5:] = False
    found = iou_by_visibility(truth, [result(masks, 1), result(tube(3), 1, 0.9)])
    assert found["frames_drawn"] == 4 and found["frames_weakened"] == 3
    assert found["IoU_drawn"] == pytest.approx((1 + 1 + 0 + 0) / 4)
    assert found["IoU_weakened"] == pytest.approx((0.5 + 0.5 + 0) / 3)


def test_category_may_be_left_aside(truth):
    swapped = [result(tube(0), 2), result(tube(15), 1)]
    assert iou_by_visibility(truth, swapped)["IoU_drawn"] == 0
    assert iou_by_visibility(truth, swapped, by_category=False)["IoU_drawn"] == 1


def test_each_result_is_given_to_one_object(truth):
    """The wide result overlaps both; the narrow one fits the first alone."""
    truth["annotations"][1]["category_id"] = 1
    wide, narrow = result(tube(0, 25), 1), result(tube(0, 8), 1)
    found = iou_by_visibility(truth, [wide, narrow])
    assert found["IoU_drawn"] == pytest.approx((0.8 + 0.8 + 0.4 + 0.4) / 4)


def test_no_results_and_no_weakened_frames(truth):
    for entry in truth["annotations"]:
        entry["visibilities"] = [1.0] * 4
    found = iou_by_visibility(truth, [])
    assert found == dict(
        IoU_drawn=0.0, IoU_weakened=None, frames_drawn=7, frames_weakened=0
    )


@pytest.mark.parametrize("wrong", [None, [1.0], "1111"])
def test_annotations_without_visibilities_are_named(truth, wrong):
    assert has_visibilities(truth)
    plain = copy.deepcopy(truth)
    plain["annotations"][1]["visibilities"] = wrong
    with pytest.raises(DataError, match="Annotation 2 has no 'visibilities'"):
        iou_by_visibility(plain, [])
    for entry in plain["annotations"]:
        entry.pop("visibilities")
    assert not has_visibilities(plain)
