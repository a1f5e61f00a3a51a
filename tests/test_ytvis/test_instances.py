import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mmtaformer.ytvis.instances import encode_mask, parse_instances

from ..helpers.ytvis_factory import encode, rectangle

SIZE = (20, 12)  # width, height


def random_mask(seed):
    return (np.random.default_rng(seed).random(SIZE[::-1]) > 0.5).astype(np.uint8)


@pytest.mark.parametrize("encoding", ["rle", "compressed", "polygon"])
@pytest.mark.parametrize("seed", range(3))
def test_every_encoding_keeps_the_mask(encoding, seed):
    mask = (
        random_mask(seed) if encoding != "polygon" else rectangle(SIZE, seed, 3, 5, 4)
    )
    rle = encode_mask(encode(mask, encoding), SIZE[1], SIZE[0])
    assert isinstance(rle["counts"], str)
    np.testing.assert_array_equal(mask_utils.decode(rle), mask)


def test_several_polygons_make_one_mask_and_degenerate_ones_none():
    left, right = rectangle(SIZE, 1, 2, 4, 5), rectangle(SIZE, 10, 4, 3, 3)
    polygons = encode(left, "polygon") + encode(right, "polygon") + [[3.0, 3.0]]
    mask = mask_utils.decode(encode_mask(polygons, SIZE[1], SIZE[0]))
    np.testing.assert_array_equal(mask, left | right)
    assert encode_mask([[1.0, 1.0, 5.0, 5.0]], SIZE[1], SIZE[0]) is None


@pytest.mark.parametrize("nothing", [None, []])
def test_nothing_is_there(nothing):
    assert encode_mask(nothing, 4, 4) is None


def annotation(masks, boxes=None, **kwargs):
    return {
        "id": 0,
        "category_id": 7,
        "segmentations": masks,
        "bboxes": boxes,
        "iscrowd": 0,
        **kwargs,
    }


def video(length):
    names = [f"a/{t}.jpg" for t in range(length)]
    return {"id": 3, "width": SIZE[0], "height": SIZE[1], "file_names": names}


def test_boxes_come_from_the_file_or_else_from_the_mask():
    mask = encode(rectangle(SIZE, 4, 2, 6, 5), "rle")
    boxes = [[3, 1, 8, 7], None, [15, 2, 50, 5], [4, 2, 0, 5], [30, 2, 5, 5]]
    frames = parse_instances(annotation([mask] * 5, boxes), video(5), label=1)
    assert [frame["bbox"] for frame in frames] == [
        [3, 1, 11, 8],
        [4, 2, 10, 7],
        [15, 2, 20, 7],
        [4, 2, 10, 7],
        [4, 2, 10, 7],
    ]
    without_boxes = annotation([mask])
    del without_boxes["bboxes"]
    (frame,) = parse_instances(without_boxes, video(1), label=1)
    assert frame["bbox"] == [4, 2, 10, 7]


def test_absent_and_empty_masks_give_no_instance():
    empty = {"size": [SIZE[1], SIZE[0]], "counts": [SIZE[0] * SIZE[1]]}
    mask = encode(rectangle(SIZE, 4, 2, 6, 5), "compressed")
    frames = parse_instances(annotation([None, mask, empty, []]), video(4), label=1)
    assert [frame is not None for frame in frames] == [False, True, False, False]
    assert frames[1]["instance_id"] == 0
    assert frames[1]["bbox_label"] == 1


@pytest.mark.parametrize(("crowd", "flag"), [({"iscrowd": 1}, 1), ({}, 0)])
def test_crowds_are_ignored(crowd, flag):
    mask = encode(rectangle(SIZE, 4, 2, 6, 5), "rle")
    given = annotation([mask])
    del given["iscrowd"]
    (frame,) = parse_instances({**given, **crowd}, video(1), label=1)
    assert frame["ignore_flag"] == flag


@pytest.mark.parametrize(
    ("mask", "box", "message"),
    [
        ({"size": [20, 12], "counts": [240]}, None, r"\[20, 12\], but the video has"),
        ({"size": [12, 20], "counts": [9]}, None, "add up to 9, but the image has"),
        ({"counts": [240]}, None, "neither null, nor polygons, nor an RLE"),
        ("x", None, "neither null, nor polygons, nor an RLE"),
        ([1.0, 2.0, 3.0, 4.0], None, "not a list of x, y pairs"),
        ([[1.0, 2.0, 3.0]], None, "not a list of x, y pairs"),
        ([[1.0, 2.0, 3.0, "4"]], None, "not a list of x, y pairs"),
        (encode(rectangle(SIZE, 4, 2, 6, 5), "rle"), [1, 2, 3], "box .* is not"),
        (encode(rectangle(SIZE, 4, 2, 6, 5), "rle"), [1, 2, 3, None], "box .* is not"),
    ],
)
def test_malformed_masks_name_annotation_video_and_frame(mask, box, message):
    good = encode(rectangle(SIZE, 4, 2, 6, 5), "rle")
    given = annotation([good, mask], [None, box])
    with pytest.raises(ValueError, match=message) as error:
        parse_instances(given, video(2), label=1)
    assert "annotation 0, video 3, frame 1 (a/1.jpg)" in str(error.value)
