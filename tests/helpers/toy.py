"""Small ground truth and results in the official format, made by hand."""

from typing import Any

import numpy as np
import torch
from mmdet.structures import DetDataSample, TrackDataSample
from mmengine.structures import InstanceData
from pycocotools import mask as mask_utils

SIZE = (24, 40)  # height, width
CLASSES = ("cat", "dog")


def rectangle(x1: int, y1: int, x2: int, y2: int) -> np.ndarray:
    """Bool mask (H, W) that is True for x1 <= x < x2 and y1 <= y < y2."""
    mask = np.zeros(SIZE, dtype=bool)
    mask[y1:y2, x1:x2] = True
    return mask


def to_rle(mask: np.ndarray | None) -> dict[str, Any] | None:
    if mask is None:
        return None
    rle = mask_utils.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(rle["size"]), "counts": rle["counts"].decode()}


def video(video_id: int, length: int = 2) -> dict[str, Any]:
    return {
        "id": video_id,
        "height": SIZE[0],
        "width": SIZE[1],
        "length": length,
        "file_names": [f"clip{video_id}/{t:05d}.jpg" for t in range(length)],
    }


def annotation(
    annotation_id: int, video_id: int, category_id: int, masks: list[Any]
) -> dict[str, Any]:
    rles = [to_rle(mask) for mask in masks]
    return {
        "id": annotation_id,
        "video_id": video_id,
        "category_id": category_id,
        "iscrowd": 0,
        "segmentations": rles,
        "areas": [rle and int(mask_utils.area(rle)) for rle in rles],
        "bboxes": [rle and mask_utils.toBbox(rle).tolist() for rle in rles],
    }


def entry(
    video_id: int, category_id: int, score: float, masks: list[Any]
) -> dict[str, Any]:
    return {
        "video_id": video_id,
        "category_id": category_id,
        "score": score,
        "segmentations": [to_rle(mask) for mask in masks],
    }


def ground_truth() -> dict[str, Any]:
    """Two videos of two frames with one cat each; no dog. Ids start at 0."""
    left, right = rectangle(0, 0, 10, 10), rectangle(20, 5, 40, 15)
    return {
        "videos": [video(0), video(7)],
        "categories": [{"id": 5, "name": "cat"}, {"id": 0, "name": "dog"}],
        "annotations": [
            annotation(0, 0, 5, [left, left]),
            annotation(3, 7, 5, [right, None]),
        ],
    }


def perfect_results() -> list[dict[str, Any]]:
    """Results that repeat :func:`ground_truth`."""
    return [
        {**{key: a[key] for key in ("video_id", "category_id")}, "score": 0.9 - i / 10}
        | {"segmentations": a["segmentations"]}
        for i, a in enumerate(ground_truth()["annotations"])
    ]


def track_sample(
    video_id: int,
    entries: list[dict[str, Any]],
    labels: dict[int, int],
    length: int,
    as_rle: bool = False,
    size: tuple[int, int] = SIZE,
) -> TrackDataSample:
    """What a model returns for a video, made of submission entries.

    ``labels`` is the label of each category id.
    """
    frames = []
    for t in range(length):
        rles = [e["segmentations"][t] for e in entries]
        masks = [
            np.zeros(size, bool) if rle is None else mask_utils.decode(rle) > 0
            for rle in rles
        ]
        stacked = np.stack(masks) if masks else np.zeros((0, *size), bool)
        boxes = [[0, 0, 1, 1] if r is None else mask_utils.toBbox(r) for r in rles]
        corners = torch.tensor(np.array(boxes).reshape(-1, 4))
        corners[:, 2:] += corners[:, :2]
        sample = DetDataSample(
            metainfo={
                "video_id": video_id,
                "frame_id": t,
                "img_path": f"clip{video_id}/{t:05d}.jpg",
                "ori_shape": size,
            }
        )
        sample.pred_track_instances = InstanceData(
            bboxes=corners,
            scores=torch.tensor([e["score"] for e in entries], dtype=torch.float64),
            labels=torch.tensor([labels[e["category_id"]] for e in entries]).long(),
            instances_id=torch.arange(len(entries)),
            masks=[mask_utils.encode(np.asfortranarray(m, np.uint8)) for m in masks]
            if as_rle
            else torch.from_numpy(stacked),
        )
        frames.append(sample)
    result = TrackDataSample()
    result.video_data_samples = frames
    return result
