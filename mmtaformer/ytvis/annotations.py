"""Reading and checking annotation files in the official YouTube-VIS format."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def read_ytvis_json(path: str) -> dict[str, Any]:
    """Read an annotation file in the official YouTube-VIS format and check it.

    The official validation and test files have no ``annotations``, or null; the
    list is empty then.

    Args:
        path: Path of the JSON file.

    Returns:
        The content of the file, with the keys ``videos``, ``categories`` and
        ``annotations``.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is empty, is not JSON, or breaks the format. The
            message names the file, the id of the entry and what to do.
    """
    content = _parse(path)
    for key in ("videos", "categories"):
        if not isinstance(content.get(key), list) or not content[key]:
            raise ValueError(
                f"{path} has no '{key}'; give a file in the YouTube-VIS format, an "
                "object with 'videos', 'categories' and 'annotations'."
            )
    annotations = content.get("annotations")
    if not isinstance(annotations, list | None):
        raise ValueError(f"{path}: 'annotations' is not a list; correct the file.")
    content["annotations"] = annotations or []

    for key in ("videos", "categories", "annotations"):
        _check_ids(content[key], key, path)
    for video in content["videos"]:
        _check_video(video, path)
    _check_category_names(content["categories"], path)
    videos = {video["id"]: video for video in content["videos"]}
    categories = {category["id"] for category in content["categories"]}
    for annotation in content["annotations"]:
        _check_annotation(annotation, videos, categories, path)
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
        ValueError: If a class is not in the file, or is named twice.
    """
    ids = {category["name"]: category["id"] for category in categories}
    if classes is None:
        classes = sorted(ids, key=ids.__getitem__)
    unknown = [name for name in classes if name not in ids]
    if unknown:
        raise ValueError(
            f"The class list asks for {unknown}, but the categories of {path} are "
            f"{sorted(ids)}; correct metainfo=dict(classes=...), or leave it out to "
            "use the classes of the file."
        )
    if not classes or len(set(classes)) != len(classes):
        raise ValueError(
            f"The class list {list(classes)} for {path} is empty or names a class "
            "twice; correct metainfo=dict(classes=...)."
        )
    return tuple(classes), {ids[name]: label for label, name in enumerate(classes)}


def _parse(path: str) -> dict[str, Any]:
    """Parse a file that must hold a JSON object."""
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"The annotation file {path} does not exist; check ann_file and data_root."
        )
    text = Path(path).read_bytes()
    if not text.strip():
        raise ValueError(
            f"The annotation file {path} is empty; download or generate it again."
        )
    try:
        content = json.loads(text)
    except ValueError as error:
        raise ValueError(
            f"The annotation file {path} is not valid JSON ({error}); it may be "
            "truncated: download or generate it again."
        ) from error
    if not isinstance(content, dict):
        raise ValueError(
            f"{path} holds a JSON {type(content).__name__}; give a file in the "
            "YouTube-VIS format, an object with 'videos', 'categories' and "
            "'annotations'."
        )
    return content


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_ids(entries: Sequence[Any], key: str, path: str) -> None:
    """Check that each entry has an integer id of its own."""
    seen = set()
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict) or not _is_int(entry.get("id")):
            raise ValueError(
                f"{path}: entry {index} of '{key}' has no integer 'id'; correct the "
                "file."
            )
        if entry["id"] in seen:
            raise ValueError(
                f"{path}: id {entry['id']} appears twice in '{key}'; give each entry "
                "an id of its own."
            )
        seen.add(entry["id"])


def _check_video(video: Mapping[str, Any], path: str) -> None:
    """Check frames and size of an entry of ``videos``."""
    where = f"{path}: video {video['id']}"
    names = video.get("file_names")
    if not isinstance(names, list) or not names:
        raise ValueError(
            f"{where} has no 'file_names'; list its frames, relative to the image "
            "folder."
        )
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"{where}: 'file_names' holds more than names; correct it.")
    if video.get("length", len(names)) != len(names):
        raise ValueError(
            f"{where} has 'length' {video['length']} but {len(names)} 'file_names'; "
            "make them agree."
        )
    size = (video.get("width"), video.get("height"))
    if not all(isinstance(side, int) and side > 0 for side in size):
        raise ValueError(
            f"{where} has width and height {size}; give the size of its frames in "
            "pixels."
        )


def _check_category_names(categories: Sequence[Mapping[str, Any]], path: str) -> None:
    """Check that each category has a name of its own."""
    seen: dict[str, int] = {}
    for category in categories:
        name = category.get("name")
        if not isinstance(name, str):
            raise ValueError(
                f"{path}: category {category['id']} has no 'name'; give it one."
            )
        if name in seen:
            raise ValueError(
                f"{path}: categories {seen[name]} and {category['id']} are both named "
                f"'{name}'; give each category a name of its own."
            )
        seen[name] = category["id"]


def _check_annotation(
    annotation: Mapping[str, Any],
    videos: Mapping[int, Mapping[str, Any]],
    categories: set[int],
    path: str,
) -> None:
    """Check references and lengths of an entry of ``annotations``."""
    where = f"{path}: annotation {annotation['id']}"
    for key, known in (("video_id", videos), ("category_id", categories)):
        value = annotation.get(key)
        if not _is_int(value) or value not in known:
            raise ValueError(
                f"{where} has {key} {value!r}, which is not in the file; correct it, "
                "or remove the annotation."
            )
    video_id = annotation["video_id"]
    length = len(videos[video_id]["file_names"])
    for key in ("segmentations", "bboxes"):
        per_frame = annotation.get(key)
        if key == "bboxes" and per_frame is None:
            continue
        if not isinstance(per_frame, list) or len(per_frame) != length:
            found = len(per_frame) if isinstance(per_frame, list) else "no"
            raise ValueError(
                f"{where} has {found} '{key}', but video {video_id} has {length} "
                "frames; give one per frame, null where the instance is absent."
            )
