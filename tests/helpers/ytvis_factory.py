"""Writes tiny data sets in the official YouTube-VIS format."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as mask_utils

CATEGORIES = ({"id": 0, "name": "cat"}, {"id": 7, "name": "ant"})
# BGR, far apart from each other and from the black background.
COLORS = ((0, 0, 255), (0, 255, 0), (255, 0, 0), (0, 255, 255), (255, 0, 255))


@dataclass
class Instance:
    """One annotation: a mask, or None, per frame."""

    id: int
    masks: Sequence[np.ndarray | None]
    category_id: int = 0
    color: tuple[int, int, int] = COLORS[0]
    encoding: str = "rle"
    iscrowd: int = 0


@dataclass
class Video:
    """One video; instances are painted in order, so that later ones hide earlier."""

    id: int
    length: int
    instances: list[Instance] = field(default_factory=list)
    size: tuple[int, int] = (64, 48)
    suffix: str = ".jpg"

    @property
    def file_names(self) -> list[str]:
        return [f"video{self.id}/{t * 5:05d}{self.suffix}" for t in range(self.length)]

    def image(self, frame: int) -> np.ndarray:
        image = np.zeros((self.size[1], self.size[0], 3), np.uint8)
        for instance in self.instances:
            if instance.masks[frame] is not None:
                image[instance.masks[frame] > 0] = instance.color
        return image


def rectangle(size: tuple[int, int], x: int, y: int, w: int, h: int) -> np.ndarray:
    """Mask of a rectangle in an image of the given (width, height)."""
    mask = np.zeros((size[1], size[0]), np.uint8)
    mask[y : y + h, x : x + w] = 1
    return mask


def moving_video(
    video_id: int,
    length: int = 6,
    num_instances: int = 2,
    size: tuple[int, int] = (64, 48),
    suffix: str = ".jpg",
    first_instance_id: int = 0,
    encodings: Sequence[str] = ("rle", "compressed", "polygon"),
) -> Video:
    """Rectangles that move to the right, each in a row of its own."""
    row = size[1] // num_instances
    instances = [
        Instance(
            id=first_instance_id + k,
            masks=[
                rectangle(size, 2 + t, k * row + 2, size[0] // 3, row - 4)
                for t in range(length)
            ],
            category_id=CATEGORIES[k % 2]["id"],
            color=COLORS[k],
            encoding=encodings[k % len(encodings)],
        )
        for k in range(num_instances)
    ]
    return Video(video_id, length, instances, size, suffix)


def to_json(videos: Sequence[Video], categories: Sequence[dict] = CATEGORIES) -> dict:
    """Content of the annotation file."""
    return {
        "info": {},
        "categories": [dict(category) for category in categories],
        "videos": [
            {
                "id": video.id,
                "width": video.size[0],
                "height": video.size[1],
                "length": video.length,
                "file_names": video.file_names,
            }
            for video in videos
        ],
        "annotations": [
            _annotation(video, instance)
            for video in videos
            for instance in video.instances
        ],
    }


def write_images(folder: Path, videos: Sequence[Video]) -> None:
    """Write all frames of the videos."""
    for video in videos:
        for frame, name in enumerate(video.file_names):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), video.image(frame))


def write_dataset(
    root: Path,
    videos: Sequence[Video],
    split: str = "train",
    annotated: bool = True,
) -> dict:
    """Write ``{split}.json`` and ``{split}/JPEGImages`` as published.

    Returns the content of the annotation file.
    """
    write_images(root / split / "JPEGImages", videos)
    content = to_json(videos)
    if not annotated:
        content["annotations"] = None
    (root / f"{split}.json").write_text(json.dumps(content))
    return content


def encode(mask: np.ndarray | None, encoding: str) -> dict | list | None:
    """Encode a mask as the JSON of YouTube-VIS has it."""
    if mask is None:
        return None
    if encoding == "polygon":
        ys, xs = np.nonzero(mask)
        x1, y1, x2, y2 = xs.min(), ys.min(), xs.max() + 1, ys.max() + 1
        assert mask.sum() == (x2 - x1) * (y2 - y1), "only rectangles become polygons"
        return [[float(v) for v in (x1, y1, x2, y1, x2, y2, x1, y2)]]
    if encoding == "compressed":
        rle = mask_utils.encode(np.asfortranarray(mask))
        return {"size": list(rle["size"]), "counts": rle["counts"].decode()}
    pixels = mask.ravel(order="F")
    changes = np.flatnonzero(np.diff(pixels)) + 1
    runs = np.diff([0, *changes, pixels.size]).tolist()
    return {"size": list(mask.shape), "counts": [0, *runs] if pixels[0] else runs}


def box(mask: np.ndarray | None) -> list[float] | None:
    """Box around a mask, x, y, width, height."""
    if mask is None or not mask.any():
        return None
    ys, xs = np.nonzero(mask)
    x, y = int(xs.min()), int(ys.min())
    return [x, y, int(xs.max()) + 1 - x, int(ys.max()) + 1 - y]


def _annotation(video: Video, instance: Instance) -> dict:
    return {
        "id": instance.id,
        "video_id": video.id,
        "category_id": instance.category_id,
        "iscrowd": instance.iscrowd,
        "width": video.size[0],
        "height": video.size[1],
        "length": 1,
        "segmentations": [encode(m, instance.encoding) for m in instance.masks],
        "bboxes": [box(mask) for mask in instance.masks],
        "areas": [None if m is None else int(m.sum()) for m in instance.masks],
    }
