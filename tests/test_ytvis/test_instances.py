import pytest

from mmtaformer.ytvis.instances import parse_instances
from mmtaformer.ytvis.rle import to_rles

from ..helpers.ytvis_factory import encode, rectangle

SIZE = (20, 12)  # width, height


def annotation(masks, boxes=None, **kwargs):
    """An annotation as check_annotations() returns it."""
    return {
        "id": 0,
        "category_id": 7,
        "segmentations": to_rles(masks, SIZE[1], SIZE[0]),
        "bboxes": boxes,
        "iscrowd": 0,
        **kwargs,
    }


def video(length):
    names = [f"a/{t}.jpg" for t in range(length)]
    return {"id": 3, "width": SIZE[0], "height": SIZE[1], "file_names": names}


def test_boxes_come_from_the_file_or_else_from_the_mask():
    mask = encode(rectangle(SIZE, 4, 2, 6, 5), "rle")
    inside = [[3, 1, 8, 7], [15, 2, 50, 5]]
    without_area = [None, [4, 2, 0, 5], [30, 2, 5, 5], [9, 2, 1e-9, 1e-9]]
    boxes = [*inside, *without_area]
    frames = parse_instances(annotation([mask] * 6, boxes), video(6), label=1)
    assert [frame["bbox"] for frame in frames] == [
        [3, 1, 11, 8],
        [15, 2, 20, 7],
        *[[4, 2, 10, 7]] * 4,
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
