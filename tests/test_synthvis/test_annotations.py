import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mmtaformer.synthvis.annotations import (
    MIN_VISIBLE_PIXELS,
    annotate,
    mask_to_bbox,
)
from mmtaformer.ytvis.rle import run_lengths


def masks_of_every_kind():
    rng = np.random.default_rng(0)
    yield np.zeros((5, 7), bool)
    yield np.ones((5, 7), bool)
    for density in (0.1, 0.5, 0.9):
        yield rng.random((6, 9)) < density
    corner = np.zeros((4, 3), bool)
    corner[0, 0] = corner[-1, -1] = True
    yield corner


@pytest.mark.parametrize("mask", masks_of_every_kind())
def test_run_lengths_decode_to_the_mask(mask):
    rle = run_lengths(mask)
    decoded = coco_mask.decode(coco_mask.frPyObjects(rle, *rle["size"]))
    np.testing.assert_array_equal(decoded, mask)
    assert all(type(count) is int for count in rle["counts"])


@pytest.mark.parametrize("mask", [m for m in masks_of_every_kind() if m.any()])
def test_box_is_the_one_of_pycocotools(mask):
    expected = coco_mask.toBbox(coco_mask.encode(np.asfortranarray(mask, np.uint8)))
    assert mask_to_bbox(mask) == expected.tolist()


def test_frames_with_a_few_pixels_or_none_are_null():
    masks = np.zeros((3, 10, 10), bool)
    masks[0, 2:6, 3:9] = True
    masks[1].flat[: MIN_VISIBLE_PIXELS - 1] = True
    annotation = annotate(masks, category_id=4)
    assert annotation["category_id"] == 4
    assert annotation["areas"] == [24, None, None]
    assert annotation["bboxes"] == [[3.0, 2.0, 6.0, 4.0], None, None]
    assert [s is None for s in annotation["segmentations"]] == [False, True, True]
    assert annotate(masks[1:], category_id=4) is None
