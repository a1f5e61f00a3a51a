"""Instances over a whole video, in the form in which they are drawn."""

import colorsys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from mmtaformer.ytvis.predictions import encode_masks
from mmtaformer.ytvis.rle import bounding_box, to_rles
from mmtaformer.ytvis.tubes import tube_ious

Color = tuple[int, int, int]
Box = tuple[float, float, float, float]

# Far apart from each other, and light enough to be seen on dark frames.
_PALETTE: tuple[Color, ...] = (
    (255, 87, 51),
    (41, 182, 246),
    (124, 220, 60),
    (255, 202, 40),
    (186, 104, 255),
    (0, 214, 180),
    (255, 112, 190),
    (255, 152, 0),
    (92, 124, 255),
    (205, 232, 80),
)


@dataclass(frozen=True)
class Track:
    """One instance over all frames of a video.

    Attributes:
        track_id: Its id within the video.
        name: Name of its class.
        masks: One RLE per frame; None where it is absent.
        color: RGB colour, the same in every frame; None for that of its id.
        score: Confidence; None for ground truth.
        boxes: One box (x1, y1, x2, y2) in pixels per frame; None draws the boxes
            around the masks.
        label: Index of its class.
    """

    track_id: int
    name: str
    masks: Sequence[dict[str, Any] | None]
    color: Color = None  # type: ignore[assignment]  # replaced below
    score: float | None = None
    boxes: Sequence[Sequence[float] | None] | None = None
    label: int = 0

    def __post_init__(self) -> None:
        if self.color is None:
            object.__setattr__(self, "color", track_color(self.track_id))

    @property
    def caption(self) -> str:
        """What is written next to the instance, such as ``cat 0.87 #3``."""
        score = "" if self.score is None else f" {self.score:.2f}"
        return f"{self.name}{score} #{self.track_id}"

    @cached_property
    def frames(self) -> list[int]:
        """Indices of the frames in which it is visible."""
        return [t for t, rle in enumerate(self.masks) if rle]

    def box(self, t: int) -> Box:
        """Box (x1, y1, x2, y2) in pixels in a frame in which it is visible."""
        if self.boxes is not None and self.boxes[t] is not None:
            x1, y1, x2, y2 = map(float, self.boxes[t])  # type: ignore[arg-type]
            return x1, y1, x2, y2
        mask = self.masks[t]
        assert mask is not None, "it is not visible in this frame"
        x, y, w, h = bounding_box(mask)
        return x, y, x + w, y + h


def track_color(index: int) -> Color:
    """Colour of the ``index``-th instance of a video.

    Args:
        index: Any integer from 0.

    Returns:
        RGB; the first ten are chosen by hand, the others have hues that the golden
        ratio spreads.
    """
    if index < len(_PALETTE):
        return _PALETTE[index]
    hue = index * 0.618034 % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.55 + 0.35 * (index % 2), 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def tracks_from_annotations(
    annotations: Sequence[Mapping[str, Any]],
    video: Mapping[str, Any],
    names: Mapping[int, str],
) -> list[Track]:
    """Make tracks of the annotations of one video.

    Args:
        annotations: The annotations of this video in the YouTube-VIS format.
        video: Its entry of ``videos``.
        names: Name of each category id.

    Returns:
        One track per annotation, numbered from 0.
    """
    size = (video["height"], video["width"])
    return [
        Track(
            track_id=index,
            name=names[annotation["category_id"]],
            masks=to_rles(annotation["segmentations"], *size),
        )
        for index, annotation in enumerate(annotations)
    ]


def tracks_from_results(
    results: Sequence[Mapping[str, Any]],
    names: Mapping[int, str],
    size: tuple[int, int],
) -> list[Track]:
    """Make tracks of the submission entries of one video.

    Args:
        results: The entries of this video.
        names: Name of each category id.
        size: (height, width) of the video in pixels, which polygons are drawn at.

    Returns:
        One track per entry, best score first; numbered from 0 in that order.
    """
    ordered = sorted(results, key=lambda entry: -entry["score"])
    return [
        Track(
            track_id=index,
            name=names[entry["category_id"]],
            masks=to_rles(entry["segmentations"], *size),
            score=entry["score"],
        )
        for index, entry in enumerate(ordered)
    ]


def tracks_from_frames(frames: Sequence[Any], classes: Sequence[str]) -> list[Track]:
    """Make tracks of the predictions of one video.

    Args:
        frames: One data sample per frame with ``pred_track_instances``: labels
            (n,), scores (n,), instances_id (n,), bboxes (n, 4) xyxy in pixels and
            masks, a bool tensor (n, H, W) or n RLE dicts.
        classes: Name of each label.

    Returns:
        One track per instance, with its id and its predicted boxes, in the order
        in which they appear.
    """
    found: dict[int, tuple[int, float]] = {}
    masks: dict[int, list[Any]] = defaultdict(lambda: [None] * len(frames))
    boxes: dict[int, list[Any]] = defaultdict(lambda: [None] * len(frames))
    for t, frame in enumerate(frames):
        predictions = frame.get("pred_track_instances")
        columns = [
            predictions[key].tolist()
            for key in ("instances_id", "labels", "scores", "bboxes")
        ]
        rles = encode_masks(predictions["masks"])
        for instance, label, score, box, rle in zip(*columns, rles, strict=True):
            found.setdefault(instance, (label, score))
            masks[instance][t], boxes[instance][t] = rle, box
    return [
        Track(
            track_id=instance,
            name=classes[label],
            masks=masks[instance],
            score=score,
            boxes=boxes[instance],
            label=label,
        )
        for instance, (label, score) in found.items()
    ]


def match_colors(
    tracks: Sequence[Track], reference: Sequence[Track], min_iou: float = 0.1
) -> list[Track]:
    """Give tracks the colours of the reference tracks that they cover.

    Args:
        tracks: For example predictions.
        reference: For example ground truth.
        min_iou: Lowest IoU of two whole tracks that makes them the same.

    Returns:
        The tracks; a matched one has the colour of its match, every other one a
        colour that no reference track has.
    """
    from scipy.optimize import linear_sum_assignment

    ious = tube_ious([t.masks for t in tracks], [t.masks for t in reference])
    rows, columns = linear_sum_assignment(-ious)
    matches = {
        row: column
        for row, column in zip(rows, columns, strict=True)
        if ious[row, column] >= min_iou
    }
    spare = len(reference)
    colored = []
    for index, track in enumerate(tracks):
        if index in matches:
            color = reference[matches[index]].color
        else:
            color, spare = track_color(spare), spare + 1
        colored.append(replace(track, color=color))
    return colored
