"""Reading and checking annotation files in the official YouTube-VIS format."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mmtaformer.utils.errors import DataError

from .checks import (
    check_crowd,
    check_length,
    check_reference,
    check_size,
    is_box,
    is_finite,
    is_id,
    is_text,
    show,
)
from .json_files import PathType, read_json
from .rle import to_rles

_FORMAT = (
    "give a file in the YouTube-VIS format, an object with 'videos', 'categories' and "
    "'annotations'."
)


def read_ytvis_json(path: PathType) -> dict[str, Any]:
    """Read an annotation file in the official YouTube-VIS format and check it.

    Args:
        path: Path of the JSON file.

    Returns:
        The content of the file; see :func:`check_annotations`.

    Raises:
        FileNotFoundError: If the file does not exist.
        DataError: If the file is empty, is not JSON, or breaks the format. The
            message names the file, the id of the entry and what to do.
    """
    content = read_json(path, "annotation file", compress_masks=True)
    return check_annotations(content, str(path))


def check_annotations(content: Any, name: str) -> dict[str, Any]:
    """Check everything in an annotation file that somebody here relies on.

    Args:
        content: What the file holds.
        name: How to call it in a message.

    Returns:
        The content with ``videos``, ``categories`` and ``annotations``, whose masks
        are compressed RLEs of the video's size, or None. The official validation and
        test files have no ``annotations``, or null; the list is empty then.

    Raises:
        DataError: If the format is broken.
    """
    if not isinstance(content, Mapping):
        raise DataError(f"{name} holds a JSON {type(content).__name__}; {_FORMAT}")
    for key in ("videos", "categories"):
        if not isinstance(content.get(key), list) or not content[key]:
            raise DataError(f"{name} has no '{key}'; {_FORMAT}")
    annotations = content.get("annotations")
    if not isinstance(annotations, list | None):
        raise DataError(f"{name}: 'annotations' is not a list; correct the file.")

    content = {**content, "annotations": annotations or []}
    for key in ("videos", "categories", "annotations"):
        _check_ids(content[key], key, name)
    for video in content["videos"]:
        _check_video(video, f"{name}: video {video['id']}")
    _check_category_names(content["categories"], name)
    videos = {video["id"]: video for video in content["videos"]}
    categories = {category["id"] for category in content["categories"]}
    content["annotations"] = [
        _check_annotation(annotation, videos, categories, name)
        for annotation in content["annotations"]
    ]
    return content


def select_classes(
    categories: Sequence[Mapping[str, Any]],
    classes: Sequence[str] | None,
    path: str,
) -> tuple[tuple[str, ...], dict[int, int]]:
    """Decide which classes of a file are used, and their labels.

    Args:
        categories: The ``categories`` of the file.
        classes: Names of the wanted classes, in the order of their labels. All
            classes of the file, sorted by category id, if None.
        path: Path of the file, for the error message.

    Returns:
        The names of the classes, and the label of each of their category ids.
        Categories that were not asked for have no label.

    Raises:
        DataError: If a class is not in the file, or is named twice.
    """
    ids = {category["name"]: category["id"] for category in categories}
    if classes is None:
        classes = sorted(ids, key=ids.__getitem__)
    unknown = [name for name in classes if name not in ids]
    if unknown:
        raise DataError(
            f"The class list asks for {unknown}, but the categories of {path} are "
            f"{sorted(ids)}; correct metainfo=dict(classes=...), or leave it out to "
            "use the classes of the file."
        )
    if not classes or len(set(classes)) != len(classes):
        raise DataError(
            f"The class list {list(classes)} for {path} is empty or names a class "
            "twice; correct metainfo=dict(classes=...)."
        )
    return tuple(classes), {ids[name]: label for label, name in enumerate(classes)}


def _check_ids(entries: Sequence[Any], key: str, name: str) -> None:
    """Check that each entry has an integer id of its own."""
    seen = set()
    for index, entry in enumerate(entries):
        if not isinstance(entry, Mapping) or not is_id(entry.get("id")):
            raise DataError(
                f"{name}: entry {index} of '{key}' has no integer 'id'; correct the "
                "file."
            )
        if entry["id"] in seen:
            raise DataError(
                f"{name}: id {entry['id']} appears twice in '{key}'; give each entry "
                "an id of its own."
            )
        seen.add(entry["id"])


def _check_video(video: Mapping[str, Any], where: str) -> None:
    """Check frames and size of an entry of ``videos``."""
    names = video.get("file_names")
    if not isinstance(names, list) or not names:
        raise DataError(
            f"{where} has no 'file_names'; list its frames, relative to the image "
            "folder."
        )
    if not all(map(is_text, names)):
        raise DataError(f"{where}: 'file_names' holds more than names; correct it.")
    if video.get("length", len(names)) != len(names):
        raise DataError(
            f"{where} has 'length' {show(video['length'])} but {len(names)} "
            "'file_names'; make them agree."
        )
    check_size(video, where)


def _check_category_names(categories: Sequence[Mapping[str, Any]], name: str) -> None:
    """Check that each category has a name of its own."""
    seen: dict[str, int] = {}
    for category in categories:
        if not is_text(category.get("name")):
            raise DataError(
                f"{name}: category {category['id']} has no 'name' of plain text; give "
                "it one."
            )
        if category["name"] in seen:
            raise DataError(
                f"{name}: categories {seen[category['name']]} and {category['id']} are "
                f"both named '{category['name']}'; give each category a name of its "
                "own."
            )
        seen[category["name"]] = category["id"]


def _check_annotation(
    annotation: Mapping[str, Any],
    videos: Mapping[int, Mapping[str, Any]],
    categories: Collection[int],
    name: str,
) -> dict[str, Any]:
    """Check an entry of ``annotations`` and compress its masks."""
    where = f"{name}: annotation {annotation['id']}"
    advice = "the file; correct it, or remove the annotation."
    check_reference(annotation, "video_id", videos, where, advice)
    check_reference(annotation, "category_id", categories, where, advice)
    video = videos[annotation["video_id"]]
    for side in ("height", "width"):
        if annotation.get(side, video[side]) not in (video[side], None):
            raise DataError(
                f"{where} has {side} {show(annotation[side])}, but video {video['id']} "
                f"has {video[side]}; make them agree, or leave it out."
            )
    check_crowd(annotation, where)
    _check_boxes(annotation, video, where)
    _check_areas(annotation, video, where)
    check_length(annotation, "segmentations", video, where)
    names = video["file_names"]
    rles = to_rles(
        annotation["segmentations"],
        video["height"],
        video["width"],
        lambda t: f"{where}, video {video['id']}, frame {t} ({names[t]})",
    )
    return {**annotation, "segmentations": rles}


def _check_boxes(
    annotation: Mapping[str, Any], video: Mapping[str, Any], where: str
) -> None:
    """Boxes are (x, y, width, height), or null."""
    if annotation.get("bboxes") is None:
        return
    check_length(annotation, "bboxes", video, where)
    for t, box in enumerate(annotation["bboxes"]):
        if box is not None and not is_box(box):
            raise DataError(
                f"{where}, video {video['id']}, frame {t}: the box {show(box)} is not "
                "[x, y, width, height]; correct it."
            )


def _check_areas(
    annotation: Mapping[str, Any], video: Mapping[str, Any], where: str
) -> None:
    """Areas are numbers of pixels, or null."""
    if annotation.get("areas") is None:
        return
    check_length(annotation, "areas", video, where)
    for t, area in enumerate(annotation["areas"]):
        pixels = video["height"] * video["width"]
        if area is not None and not (is_finite(area) and 0 <= area <= pixels):
            raise DataError(
                f"{where}, video {video['id']}, frame {t}: the area {show(area)} is "
                "not a number of pixels; correct it, or leave 'areas' out."
            )
