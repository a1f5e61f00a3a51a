"""Box queries of the annotated instances of videos."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_overlaps
from torch import nn

from mmtaformer.models.heads.clip_targets import ABSENT_BOX, ClipTargets
from mmtaformer.ytvis.rle import bounding_box

from .common import VideoOutput, entries_of


@dataclass(frozen=True)
class Instance:
    """One annotated instance.

    Attributes:
        video_id: Its video.
        label: Label of its class.
        name: Name of its class.
        boxes: (T, 4) cxcywh in [0, 1]; four times 1e-6 where it is absent.
        present: (T,) bool, whether it is visible.
    """

    video_id: int
    label: int
    name: str
    boxes: np.ndarray
    present: np.ndarray


@dataclass(frozen=True)
class QueryPoints:
    """Box queries of matched instances, one per instance and frame it is visible in.

    Attributes:
        vectors: (n, C).
        instances: (n,) index of the instance.
        ious: (n,) IoU of predicted and annotated box.
    """

    vectors: np.ndarray
    instances: np.ndarray
    ious: np.ndarray


def video_instances(
    ground_truth: Mapping[str, Any], video: Mapping[str, Any]
) -> list[Instance]:
    """The annotated instances of a video, with the boxes around their masks.

    Args:
        ground_truth: Content of the file. Labels count its categories in the order
            of their ids.
        video: Entry of ``videos``.
    """
    names = {c["id"]: c["name"] for c in ground_truth["categories"]}
    labels = {category: label for label, category in enumerate(sorted(names))}
    height, width = video["height"], video["width"]
    instances = []
    for annotation in entries_of(ground_truth["annotations"], video):
        if annotation.get("iscrowd"):
            continue
        boxes = np.full((len(video["file_names"]), 4), ABSENT_BOX)
        present = np.zeros(len(boxes), dtype=bool)
        for t, rle in enumerate(annotation["segmentations"]):
            if rle is not None:
                x, y, w, h = bounding_box(rle)
                boxes[t] = np.array([x + w / 2, y + h / 2, w, h])
                boxes[t] /= [width, height, width, height]
                present[t] = True
        category = annotation["category_id"]
        label, name = labels[category], names[category]
        instances.append(Instance(video["id"], label, name, boxes, present))
    return instances


def matched_queries(
    model: nn.Module, output: VideoOutput, instances: Sequence[Instance]
) -> QueryPoints:
    """Box queries of the last decoder layer that the model's matcher gives instances.

    Args:
        model: The model.
        output: What it computed on the video.
        instances: The n instances of the video.

    Returns:
        One point for each frame in which an instance is visible. In the order of
        instances, then frames.
    """
    device = output.logits.device
    boxes = output.output.boxes[0]
    truth = np.array([i.boxes for i in instances]).reshape(-1, len(boxes), 4)
    truth = torch.from_numpy(truth).float().to(device)
    targets = ClipTargets(
        labels=torch.tensor([i.label for i in instances], dtype=torch.long).to(device),
        boxes=truth,
        masks=truth.new_zeros(len(truth), len(boxes), 0, 0),
        present=torch.tensor(np.array([i.present for i in instances])).to(device),
    )
    queries, matched = model.bbox_head.match(output.logits.float(), boxes, targets)
    vectors, indices, ious = [], [], []
    for query, index in sorted(
        zip(queries.tolist(), matched.tolist(), strict=True), key=lambda pair: pair[1]
    ):
        seen = torch.from_numpy(instances[index].present).to(device)
        vectors.append(output.output.box_query[0, seen, query].float().cpu().numpy())
        indices.append(np.full(len(vectors[-1]), index))
        pair = (bbox_cxcywh_to_xyxy(b[seen]) for b in (boxes[:, query], truth[index]))
        ious.append(bbox_overlaps(*pair, is_aligned=True).cpu().numpy())
    size = output.output.box_query.size(-1)
    return QueryPoints(
        np.concatenate([np.zeros((0, size), np.float32), *vectors]),
        np.concatenate([np.zeros(0, int), *indices]),
        np.concatenate([np.zeros(0, np.float32), *ious]),
    )


def concatenate(parts: Sequence[QueryPoints]) -> QueryPoints:
    """The points of several videos as one."""
    columns = [[getattr(part, name) for part in parts] for name in vars(parts[0])]
    return QueryPoints(*(np.concatenate(column) for column in columns))
