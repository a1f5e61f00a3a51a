"""Reading and checking annotation files in COCO's format."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmtaformer.utils.errors import DataError
from mmtaformer.ytvis.checks import (
    check_crowd,
    check_reference,
    check_size,
    is_box,
    is_finite,
    is_id,
    is_text,
    show,
)
from mmtaformer.ytvis.json_files import PathType, read_json
from mmtaformer.ytvis.rle import check_mask


def read_coco_json(path: PathType) -> dict[str, Any]:
    """Read an annotation file with instance masks in COCO's format and check it.

    Args:
        path: Path of the JSON file.

    Returns:
        The content of the file, with ``images``, ``categories`` and ``annotations``.

    Raises:
        FileNotFoundError: If the file does not exist.
        DataError: If the file breaks the format. The message names the file and the
            id of the entry.
    """
    content = read_json(path, "annotation file")
    for key in ("images", "categories", "annotations"):
        entries = content.get(key) if isinstance(content, Mapping) else None
        if not isinstance(entries, list) or not entries:
            raise DataError(
                f"{path} has no '{key}'; give a file in COCO's format with instance "
                "masks, such as instances_train2017.json."
            )
        for index, entry in enumerate(entries):
            if not isinstance(entry, Mapping) or not is_id(entry.get("id")):
                raise DataError(
                    f"{path}: entry {index} of '{key}' has no integer 'id'; correct "
                    "the file."
                )
    for image in content["images"]:
        where = f"{path}: image {image['id']}"
        if not is_text(image.get("file_name")):
            raise DataError(f"{where} has no 'file_name'; give it one.")
        check_size(image, where)
    for category in content["categories"]:
        if not is_text(category.get("name")):
            raise DataError(
                f"{path}: category {category['id']} has no 'name' of plain text; give "
                "it one."
            )
    images = {image["id"]: image for image in content["images"]}
    categories = {category["id"] for category in content["categories"]}
    for annotation in content["annotations"]:
        where = f"{path}: annotation {annotation['id']}"
        advice = "the file; correct it, or remove the annotation."
        check_reference(annotation, "image_id", images, where, advice)
        check_reference(annotation, "category_id", categories, where, advice)
        _check_annotation(annotation, images[annotation["image_id"]], where)
    return content


def _check_annotation(
    annotation: Mapping[str, Any], image: Mapping[str, Any], where: str
) -> None:
    if not is_box(annotation.get("bbox")):
        raise DataError(
            f"{where}: the box {show(annotation.get('bbox'))} is not [x, y, width, "
            "height]; correct it."
        )
    if not is_finite(annotation.get("area")):
        raise DataError(
            f"{where}: the area {show(annotation.get('area'))} is not a number; "
            "correct it."
        )
    check_crowd(annotation, where)
    mask = annotation.get("segmentation")
    if mask is None or (isinstance(mask, Sequence) and not mask):
        raise DataError(
            f"{where} has no 'segmentation'; pseudo clips need instance masks: use "
            "COCO's instances_*.json."
        )
    check_mask(mask, image["height"], image["width"], where)
