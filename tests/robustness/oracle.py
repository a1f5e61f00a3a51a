"""A strict reader of annotations and results that shares nothing with the package.

It reads value by value, in plain loops, and says for each file: refused, or what is in
it. What it takes although a stricter reader would not is the documented leniency.
"""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

from ..helpers.rle_loops import Malformed, mask_of_rle


class Refused(Exception):
    """The file breaks the format."""


LENIENCY = {
    "no polygon": "an empty list of polygons is an absent instance",
    "empty run": "runs of length 0 between others",
    "outside": "a polygon outside of the image, or without area: the mask is empty",
    "no area": "a box without area inside the image is replaced by the mask's",
    "no length": "a video or annotation without 'length', 'areas', 'bboxes' or size",
    "length": "a 'length' equal to the number of frames, whatever its type",
    "encoding": "UTF-8 with a mark, UTF-16 and UTF-32, as every JSON reader takes",
    "twice": "a key that stands twice in an object: the last one counts",
}


def read_annotations(content: bytes | Any) -> dict[str, Any]:
    """What an annotation file holds.

    Returns:
        ``videos`` (id to entry), ``categories`` (id to name) and ``annotations``, a
        list of dicts with ``id``, ``video``, ``category``, ``crowd``, ``masks`` ((H,
        W) bool or None per frame), ``boxes`` (xywh or None) and ``areas``.
    """
    data = _json(content) if isinstance(content, bytes) else content
    _need(isinstance(data, dict))
    for key in ("videos", "categories"):
        _need(isinstance(data.get(key), list) and len(data[key]) > 0)
    annotations = data.get("annotations")
    _need(annotations is None or isinstance(annotations, list))
    found: dict[str, Any] = {"videos": {}, "categories": {}, "annotations": []}
    for video in data["videos"]:
        number = _new_id(video, found["videos"])
        found["videos"][number] = _video(video)
    for category in data["categories"]:
        number = _new_id(category, found["categories"])
        _need(_is_name(category.get("name")))
        _need(category["name"] not in found["categories"].values())
        found["categories"][number] = category["name"]
    seen: set[int] = set()
    for annotation in annotations or []:
        seen.add(_new_id(annotation, seen))
        found["annotations"].append(_annotation(annotation, found))
    return found


def read_results(content: bytes | Any, truth: dict[str, Any]) -> list[dict[str, Any]]:
    """What a results file holds: ``video``, ``category``, ``score``, ``masks``."""
    data = _json(content) if isinstance(content, bytes) else content
    _need(isinstance(data, list))
    found = []
    for entry in data:
        _need(isinstance(entry, dict))
        video, category, score = (
            entry.get(key) for key in ("video_id", "category_id", "score")
        )
        _need(_is_int(video) and video in truth["videos"])
        _need(_is_int(category) and category in truth["categories"])
        _need(_is_number(score))
        masks = _masks(entry.get("segmentations"), truth["videos"][video])
        found.append(dict(video=video, category=category, score=score, masks=masks))
    return found


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Refused("not JSON") from error


def _need(condition: bool) -> None:
    if not condition:
        raise Refused


def _is_int(value: Any) -> bool:
    return type(value) is int and -(2**63) <= value < 2**63


def _is_number(value: Any) -> bool:
    if type(value) is int:
        return abs(value) < 10**308
    return type(value) is float and math.isfinite(value)


def _is_name(value: Any) -> bool:
    if type(value) is not str:
        return False
    return not any(
        ord(c) < 32 or ord(c) == 127 or 0xD800 <= ord(c) < 0xE000 for c in value
    )


def _new_id(entry: Any, known: Any) -> int:
    _need(isinstance(entry, dict) and _is_int(entry.get("id")))
    _need(entry["id"] not in known)
    return entry["id"]


def _video(video: dict[str, Any]) -> dict[str, Any]:
    names = video.get("file_names")
    _need(isinstance(names, list) and len(names) > 0 and all(map(_is_name, names)))
    if "length" in video:
        _need(video["length"] == len(names))
    for side in ("width", "height"):
        _need(type(video.get(side)) is int and video[side] > 0)
    _need(video["width"] * video["height"] <= 2**27)
    return dict(size=(video["height"], video["width"]), names=names)


def _annotation(annotation: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    video_id, category = annotation.get("video_id"), annotation.get("category_id")
    _need(_is_int(video_id) and video_id in found["videos"])
    _need(_is_int(category) and category in found["categories"])
    video = found["videos"][video_id]
    for side, expected in zip(("height", "width"), video["size"], strict=True):
        _need(annotation.get(side) is None or annotation[side] == expected)
    crowd = annotation.get("iscrowd", 0)
    _need(type(crowd) is int and crowd in (0, 1))
    pixels = video["size"][0] * video["size"][1]
    return dict(
        id=annotation["id"],
        video=video_id,
        category=category,
        crowd=crowd,
        masks=_masks(annotation.get("segmentations"), video),
        boxes=_per_frame(annotation.get("bboxes"), video, _is_box),
        areas=_per_frame(
            annotation.get("areas"), video, lambda a: _is_number(a) and 0 <= a <= pixels
        ),
    )


def _per_frame(values: Any, video: dict, check: Callable[[Any], bool]) -> list[Any]:
    if values is None:
        return [None] * len(video["names"])
    _need(isinstance(values, list) and len(values) == len(video["names"]))
    for value in values:
        _need(value is None or check(value))
    return values


def _is_box(box: Any) -> bool:
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        return False
    return box[2] >= 0 and box[3] >= 0


def _masks(masks: Any, video: dict[str, Any]) -> list[np.ndarray | None]:
    _need(isinstance(masks, list) and len(masks) == len(video["names"]))
    return [_mask(mask, *video["size"]) for mask in masks]


def _mask(mask: Any, height: int, width: int) -> np.ndarray | None:
    if mask is None or mask == []:
        return None
    if isinstance(mask, dict):
        size = mask.get("size")
        _need(isinstance(size, list) and len(size) == 2)
        _need(type(size[0]) is int and type(size[1]) is int)
        _need(size == [height, width] and "counts" in mask)
        try:
            return mask_of_rle(mask, height, width)
        except Malformed as error:
            raise Refused from error
    _need(isinstance(mask, list))
    outline = 0.0
    for polygon in mask:
        _need(isinstance(polygon, list) and len(polygon) % 2 == 0)
        _need(len(polygon) >= 6 and all(map(_is_number, polygon)))
        outline = 0.0
        for i in range(0, len(polygon), 2):
            x, y = polygon[i], polygon[i + 1]
            _need(-width <= x <= 2 * width and -height <= y <= 2 * height)
            outline += max(abs(x - polygon[i - 2]), abs(y - polygon[i - 1]))
        _need(outline <= 4 * (height + 1) * (width + 1))
    # Which pixels a polygon covers is what pycocotools says, here as everywhere.
    rles = mask_utils.frPyObjects([[float(v) for v in p] for p in mask], height, width)
    return mask_utils.decode(mask_utils.merge(rles)) > 0
