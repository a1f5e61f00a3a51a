import copy
import json
import re

import pytest

from mmtaformer.ytvis.annotations import read_ytvis_json, select_classes

from ..helpers.ytvis_factory import (
    CATEGORIES,
    encode,
    moving_video,
    rectangle,
    to_json,
)


@pytest.fixture
def content():
    return to_json([moving_video(0, length=3), moving_video(4, first_instance_id=9)])


def write(tmp_path, text):
    path = tmp_path / "train.json"
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return str(path)


def test_content_comes_with_compressed_masks(tmp_path, content):
    found = read_ytvis_json(write(tmp_path, content))
    for key in ("info", "videos", "categories"):
        assert found[key] == content[key]
    for new, old in zip(found["annotations"], content["annotations"], strict=True):
        assert {k: v for k, v in new.items() if k != "segmentations"} == {
            k: v for k, v in old.items() if k != "segmentations"
        }
        for rle, box in zip(new["segmentations"], old["bboxes"], strict=True):
            expected = encode(rectangle((64, 48), *box), "compressed")
            assert rle == expected


@pytest.mark.parametrize("annotations", [None, [], "left out"])
def test_files_without_annotations(tmp_path, content, annotations):
    content["annotations"] = annotations
    if annotations == "left out":
        del content["annotations"]
    assert read_ytvis_json(write(tmp_path, content))["annotations"] == []


@pytest.mark.parametrize("ids", [(0, 1), (-3, 2**40)])
def test_any_integer_is_an_id(tmp_path, content, ids):
    for key in ("videos", "categories"):
        for entry, new in zip(content[key], ids, strict=True):
            entry["id"] = new
    for annotation, new in zip(content["annotations"], (*ids, 5, 6), strict=True):
        annotation.update(id=new, video_id=ids[0], category_id=ids[1])
        for key in ("segmentations", "bboxes", "areas"):
            annotation[key] = annotation[key][:3]
    found = read_ytvis_json(write(tmp_path, content))
    assert [a["video_id"] for a in found["annotations"]] == [ids[0]] * 4
    assert [a["category_id"] for a in found["annotations"]] == [ids[1]] * 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; download or write it again"),
        (" \n", "is empty"),
        ('{"videos": [', r"not valid JSON \(.*column.*truncated"),
        ("\x00\x01", "not valid JSON"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "nested too deeply"),
        ("[" + "9" * 5000 + "]", "not valid JSON .*4300 digits"),
        ("[1, 2]", "holds a JSON list; give a file in the YouTube-VIS format"),
    ],
)
def test_files_that_are_no_json_object(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(ValueError, match=message) as error:
        read_ytvis_json(path)
    assert path in str(error.value)


def test_missing_file_names_the_settings(tmp_path):
    path = str(tmp_path / "nowhere.json")
    with pytest.raises(
        FileNotFoundError, match=r"check the path .ann_file and data_root"
    ) as error:
        read_ytvis_json(path)
    assert path in str(error.value)


BREAKAGES = {
    "no videos": (lambda c: c.pop("videos"), "has no 'videos'"),
    "no categories": (lambda c: c.pop("categories"), "has no 'categories'"),
    "videos empty": (lambda c: c.update(videos=[]), "has no 'videos'"),
    "annotations no list": (
        lambda c: c.update(annotations={}),
        "'annotations' is not a list",
    ),
    "video without id": (
        lambda c: c["videos"][1].pop("id"),
        "entry 1 of 'videos' has no integer 'id'",
    ),
    "boolean id": (
        lambda c: c["videos"][0].update(id=False),
        "entry 0 of 'videos' has no integer 'id'",
    ),
    "category id text": (
        lambda c: c["categories"][0].update(id="0"),
        "entry 0 of 'categories' has no integer 'id'",
    ),
    "video id twice": (
        lambda c: c["videos"][1].update(id=0),
        "id 0 appears twice in 'videos'",
    ),
    "category id twice": (
        lambda c: c["categories"][1].update(id=0),
        "id 0 appears twice in 'categories'",
    ),
    "annotation id twice": (
        lambda c: c["annotations"][2].update(id=1),
        "id 1 appears twice in 'annotations'",
    ),
    "category name twice": (
        lambda c: c["categories"][1].update(name="cat"),
        "categories 0 and 7 are both named 'cat'",
    ),
    "category without name": (
        lambda c: c["categories"][1].pop("name"),
        "category 7 has no 'name'",
    ),
    "no file names": (
        lambda c: c["videos"][1].pop("file_names"),
        "video 4 has no 'file_names'",
    ),
    "file names no text": (
        lambda c: c["videos"][1].update(file_names=[1]),
        "video 4: 'file_names' holds more than names",
    ),
    "length": (
        lambda c: c["videos"][0].update(length=2),
        "video 0 has 'length' 2 but 3 'file_names'",
    ),
    "no height": (
        lambda c: c["videos"][0].pop("height"),
        r"video 0 has width and height \(64, None\)",
    ),
    "zero width": (
        lambda c: c["videos"][0].update(width=0),
        r"video 0 has width and height \(0, 48\)",
    ),
    "unknown video": (
        lambda c: c["annotations"][3].update(video_id=3),
        "annotation 10 has video_id 3, which is not in the file",
    ),
    "unknown category": (
        lambda c: c["annotations"][0].update(category_id=1),
        "annotation 0 has category_id 1, which is not in the file",
    ),
    "no category": (
        lambda c: c["annotations"][0].pop("category_id"),
        "annotation 0 has category_id None",
    ),
    "too few masks": (
        lambda c: c["annotations"][1]["segmentations"].pop(),
        "annotation 1 has 2 'segmentations', but video 0 has 3 frames",
    ),
    "no masks": (
        lambda c: c["annotations"][1].pop("segmentations"),
        "annotation 1 has no 'segmentations', but video 0 has 3 frames",
    ),
    "id too large": (
        lambda c: c["annotations"][0].update(id=2**63),
        "entry 0 of 'annotations' has no integer 'id'",
    ),
    "half a character": (
        lambda c: c["videos"][0]["file_names"].__setitem__(0, "\ud800.jpg"),
        "video 0: 'file_names' holds more than names",
    ),
    "line break in a name": (
        lambda c: c["categories"][1].update(name="a\nb"),
        "category 7 has no 'name' of plain text",
    ),
    "width of many digits": (
        lambda c: c["videos"][0].update(width=10**30),
        r"video 0 has width and height \(1000.*000, 48\); give .*134217728",
    ),
    "boolean width": (
        lambda c: c["videos"][0].update(width=True),
        r"video 0 has width and height \(True, 48\)",
    ),
    "video id in a list": (
        lambda c: c["annotations"][3].update(video_id=[1]),
        r"annotation 10 has video_id \[1\], which is not in the file",
    ),
    "boolean video id": (
        lambda c: c["annotations"][3].update(video_id=False),
        "annotation 10 has video_id False, which is not in the file",
    ),
    "category id 7.0": (
        lambda c: c["annotations"][3].update(category_id=7.0),
        r"annotation 10 has category_id 7.0, which is not in the file",
    ),
    "height of another video": (
        lambda c: c["annotations"][3].update(height=49),
        "annotation 10 has height 49, but video 4 has 48",
    ),
    "crowd null": (
        lambda c: c["annotations"][0].update(iscrowd=None),
        "annotation 0 has 'iscrowd' None; give 0 or 1",
    ),
    "crowd text": (
        lambda c: c["annotations"][0].update(iscrowd="0"),
        "annotation 0 has 'iscrowd' '0'; give 0 or 1",
    ),
    "crowd true": (
        lambda c: c["annotations"][0].update(iscrowd=True),
        "annotation 0 has 'iscrowd' True; give 0 or 1",
    ),
    "crowd of another number": (
        lambda c: c["annotations"][0].update(iscrowd=2),
        "annotation 0 has 'iscrowd' 2; give 0 or 1",
    ),
    "box of three": (
        lambda c: c["annotations"][0].update(bboxes=[[1, 2, 3], None, None]),
        r"annotation 0, video 0, frame 0: the box \[1, 2, 3\] is not .*; correct it",
    ),
    "box of negative width": (
        lambda c: c["annotations"][0]["bboxes"][1].__setitem__(2, -4),
        r"annotation 0, video 0, frame 1: the box .* is not .*; correct it",
    ),
    "area not a number": (
        lambda c: c["annotations"][0]["areas"].__setitem__(2, float("nan")),
        r"annotation 0, video 0, frame 2: the area nan is not .*; correct it",
    ),
    "area beyond the image": (
        lambda c: c["annotations"][0]["areas"].__setitem__(2, 64 * 48 + 1),
        r"annotation 0, video 0, frame 2: the area 3073 is not .*; correct it",
    ),
    "broken mask": (
        lambda c: c["annotations"][1]["segmentations"][2].update(counts="Q"),
        r"annotation 1, video 0, frame 2 \(video0/00010.jpg\): the 'counts' .*correct",
    ),
    "mask of another size": (
        lambda c: c["annotations"][0]["segmentations"][0].update(size=[64, 48]),
        r"annotation 0, video 0, frame 0 .* has height and width \(64, 48\), .*; give",
    ),
    "polygon of two points": (
        lambda c: c["annotations"][0]["segmentations"].__setitem__(1, [[1, 2, 3, 4]]),
        r"annotation 0, video 0, frame 1 .*: a polygon has 2 points.*; give",
    ),
    "too many boxes": (
        lambda c: c["annotations"][2]["bboxes"].append(None),
        "annotation 9 has 7 'bboxes', but video 4 has 6 frames",
    ),
}


@pytest.mark.parametrize("case", BREAKAGES)
def test_broken_files(tmp_path, content, case):
    breakage, message = BREAKAGES[case]
    broken = copy.deepcopy(content)
    breakage(broken)
    path = write(tmp_path, broken)
    with pytest.raises(ValueError, match=message) as error:
        read_ytvis_json(path)
    assert path in str(error.value)
    assert re.search(r"; (give|correct|list|make)|: correct", str(error.value))


def test_classes_come_from_the_file_sorted_by_id():
    categories = [
        {"id": 5, "name": "a"},
        {"id": -1, "name": "b"},
        {"id": 0, "name": "c"},
    ]
    names, labels = select_classes(categories, None, "x.json")
    assert names == ("b", "c", "a")
    assert labels == {-1: 0, 0: 1, 5: 2}


def test_given_classes_decide_order_and_subset():
    names, labels = select_classes(CATEGORIES, ["ant"], "x.json")
    assert (names, labels) == (("ant",), {7: 0})
    names, labels = select_classes(CATEGORIES, ("ant", "cat"), "x.json")
    assert labels == {7: 0, 0: 1}


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["cat", "dog"], r"asks for \['dog'\], but the categories of x.json"),
        (["cat", "cat"], "names a class twice"),
        ([], "is empty"),
    ],
)
def test_class_lists_that_contradict_the_file(classes, message):
    with pytest.raises(ValueError, match=message):
        select_classes(CATEGORIES, classes, "x.json")
