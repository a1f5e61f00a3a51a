"""Videos and worlds of moving rectangles for tests of inference."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from pycocotools import mask as mask_utils

from mmtaformer.apis.clip_instances import ClipInstances

SIZE = (48, 64)  # height, width


def write_clip(
    path: Path,
    frames: Sequence[np.ndarray],
    fps: int = 10,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rotation: int = 0,
    pts: Sequence[int] | None = None,
    **options: str,
) -> Path:
    """Write RGB frames with FFmpeg, with its own encoder and none of the project."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps, options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        if rotation:
            stream.set_display_rotation(rotation)
        for index, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")
            if pts is not None:
                picture.pts, picture.time_base = pts[index], Fraction(1, fps)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def numbered_frames(count: int, size: tuple[int, int] = SIZE) -> list[np.ndarray]:
    """RGB frames whose brightness tells their number: 20, 30, 40..."""
    return [np.full((*size, 3), 20 + 10 * i, np.uint8) for i in range(count)]


def encode(mask: np.ndarray) -> dict | None:
    """RLE of a bool mask; None if it is empty."""
    if not mask.any():
        return None
    rle = mask_utils.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(rle["size"]), "counts": rle["counts"].decode()}


def rectangle(x: int, y: int, w: int = 10, h: int = 8) -> np.ndarray:
    """Bool mask (H, W); what lies outside of it is cut off."""
    mask = np.zeros(SIZE, bool)
    mask[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)] = True
    return mask


class World:
    """Objects whose masks are known in every frame, as a model might find them.

    Args:
        objects: For each object, its mask in frame t, or None where it is absent.
        labels: Label of each object.
        embeddings: (n, C) of unit length; None for a model without.
        scores: Score of each object in the clip that starts at a frame.
    """

    def __init__(
        self,
        objects: Sequence[Callable[[int], np.ndarray | None]],
        labels: Sequence[int] | None = None,
        embeddings: np.ndarray | None = None,
        scores: Callable[[int, int], float] = lambda index, first: 0.9,
    ) -> None:
        self.objects = objects
        self.labels = labels or [0] * len(objects)
        self.embeddings = embeddings
        self.scores = scores
        self.calls: list[tuple[int, int]] = []

    def masks(self, index: int, first: int, count: int) -> list[dict | None]:
        masks = [self.objects[index](t) for t in range(first, first + count)]
        return [None if mask is None else encode(mask) for mask in masks]

    def __call__(self, frames: Sequence[int], first: int) -> ClipInstances:
        """Instances of a clip in an order that changes from clip to clip."""
        count = len(frames)
        assert list(frames) == list(range(first, first + count))
        self.calls.append((first, count))
        tubes = {i: self.masks(i, first, count) for i in range(len(self.objects))}
        order = [i for i, tube in tubes.items() if any(tube)]
        order = order[first % 2 :: 2] + order[1 - first % 2 :: 2]
        boxes = np.zeros((len(order), count, 4), np.float32)
        for row, i in enumerate(order):
            for t, rle in enumerate(tubes[i]):
                if rle:
                    x, y, w, h = mask_utils.toBbox(rle)
                    boxes[row, t] = (x, y, x + w, y + h)
        return ClipInstances(
            first=first,
            votes=[{self.labels[i]: self.scores(i, first)} for i in order],
            boxes=boxes,
            masks=[tubes[i] for i in order],
            embeddings=None if self.embeddings is None else self.embeddings[order],
        )
