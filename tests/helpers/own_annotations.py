"""Ground truth from predictions, for which models without training have an AP."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pycocotools import mask as mask_utils


def annotate_like(results: Sequence[Mapping[str, Any]], ann_file: Path) -> None:
    """Replace the annotations by every third result that covers something.

    Args:
        results: Predictions in the format of YouTube-VIS, some of every video.
        ann_file: Ground truth of these videos, which is changed.
    """
    content = json.loads(ann_file.read_text())
    content["annotations"] = []
    for number, entry in enumerate(results):
        masks = entry["segmentations"]
        areas = [rle and int(mask_utils.area(rle)) for rle in masks]
        if number % 3 == 0 and any(areas):
            boxes = [rle and mask_utils.toBbox(rle).tolist() for rle in masks]
            truth = dict(id=number, iscrowd=0, segmentations=masks, areas=areas)
            truth |= {key: entry[key] for key in ("video_id", "category_id")}
            content["annotations"].append(truth | dict(bboxes=boxes))
    annotated = {annotation["video_id"] for annotation in content["annotations"]}
    assert annotated == {video["id"] for video in content["videos"]}
    ann_file.write_text(json.dumps(content))
