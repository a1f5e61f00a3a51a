"""Writes tiny data sets in COCO's format."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from mmdet.datasets import CocoDataset

from .ytvis_factory import COLORS, box, encode

# Ids of their own, 0 among them, in an order of their own.
COCO_IDS = {name: 7 * k % 83 for k, name in enumerate(CocoDataset.METAINFO["classes"])}


def write_coco(root: Path, images: Mapping[int, Sequence[tuple]]) -> dict:
    """Write ``train2017`` and ``annotations/instances_train2017.json`` as published.

    Args:
        root: Folder to write to.
        images: Image id -> list of (category, mask, encoding, iscrowd); an image with
            instances has the size of their masks. Every instance is painted in a
            colour, later ones over earlier ones.

    Returns:
        The content of the annotation file.
    """
    categories = [dict(id=id, name=name) for name, id in COCO_IDS.items()][::-1]
    content: dict = {"images": [], "annotations": [], "categories": categories}
    (root / "train2017").mkdir(parents=True)
    (root / "annotations").mkdir()
    for image_id, instances in images.items():
        height, width = instances[0][1].shape if instances else (48, 64)
        picture = np.zeros((height, width, 3), np.uint8)
        name = f"{image_id:012}.png"
        content["images"].append(
            dict(id=image_id, file_name=name, width=width, height=height)
        )
        for number, (category, mask, encoding, crowd) in enumerate(instances):
            picture[mask > 0] = COLORS[number % len(COLORS)]
            content["annotations"].append(
                dict(
                    id=len(content["annotations"]),
                    image_id=image_id,
                    category_id=COCO_IDS[category],
                    bbox=box(mask),
                    area=int(mask.sum()),
                    iscrowd=crowd,
                    segmentation=encode(mask, encoding),
                )
            )
        assert cv2.imwrite(str(root / "train2017" / name), picture)
    path = root / "annotations" / "instances_train2017.json"
    path.write_text(json.dumps(content))
    return content
