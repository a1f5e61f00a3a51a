"""Videos for a part of the model: what tokens say, and what is to be found.

Near an object the features say where its middle is and, in some frames only, what is
asked: that it is there at all (task ``hidden``), or which of two look-alikes it is
(``twins``). So whatever is found where a frame does not say it comes from other frames.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

TASKS = ("hidden", "twins")
HEIGHT, WIDTH = 8, 12  # tokens of a frame
VIDEO = 12  # frames of a video
CLIP = 5  # frames of a clip in training
OBJECT = (0.2, 0.3)  # width and height in parts of the image


@dataclass(frozen=True)
class Clips:
    """Clips and what is to be found in them.

    Attributes:
        signals: (B, T, S, 5) what tokens say: x and y to the middle of the object
            there, whether one is there, whether it is the first, the second.
        centres: (B, T, n, 2) in [0, 1].
        shown: (B, T) bool, whether the frame says what is asked.
        frame_ids: (B, T) index of each frame in its video.
    """

    signals: Tensor
    centres: Tensor
    shown: Tensor
    frame_ids: Tensor

    @property
    def boxes(self) -> Tensor:
        """(B, T, n, 4) cxcywh in [0, 1]."""
        size = self.centres.new_tensor(OBJECT).expand_as(self.centres)
        return torch.cat([self.centres, size], dim=-1)

    def select(self, frames: Tensor) -> "Clips":
        """Frames (B, T) of each clip, by index."""
        rows = torch.arange(len(frames))[:, None]
        parts = (self.signals, self.centres, self.shown, self.frame_ids)
        return Clips(*(part[rows, frames] for part in parts))


def make_videos(task: str, count: int, rng: np.random.Generator) -> Clips:
    """Generate videos of :data:`VIDEO` frames.

    Args:
        task: ``hidden``: one object on a straight line, there in runs of one to three
            frames, then not for one or two. ``twins``: two that pass each other; one
            frame of three says which is which.
        count: B.
        rng: Source of all chance.
    """
    time = np.arange(VIDEO)
    angle = rng.uniform(0, 2 * np.pi, (count, 1))
    way = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    if task == "twins":
        meeting = rng.uniform(0, VIDEO - 1, (count, 1))
        passed = 0.06 * (time - meeting)[..., None] * way
        passed += 0.06 * np.stack([-np.sin(angle), np.cos(angle)], axis=-1)
        middle = rng.uniform(0.3, 0.7, (count, 1, 1, 2))
        centres = middle + np.stack([passed, -passed], axis=2)
        shown = (time + rng.integers(3, size=(count, 1))) % 3 == 0
    else:
        speed = rng.uniform(0.03, 0.09, (count, 1, 1))
        start = rng.uniform(0, 1, (count, 1, 2))
        centres = (start + speed * time[None, :, None] * way)[:, :, None]
        shown = np.stack([_runs(rng) for _ in range(count)])
    # Objects turn back at the border.
    centres = 0.15 + 0.7 * np.abs((centres + 1) % 2 - 1)
    ids = np.broadcast_to(time, (count, VIDEO))
    return Clips(
        signals=_signals(task, centres, shown),
        centres=torch.tensor(centres, dtype=torch.float32),
        shown=torch.tensor(shown),
        frame_ids=torch.tensor(ids),
    )


def _runs(rng: np.random.Generator) -> np.ndarray:
    """(VIDEO,) bool: one to three frames with the object, one or two without."""
    frames: list[bool] = []
    while len(frames) < 2 * VIDEO:
        frames += [True] * rng.integers(1, 4) + [False] * rng.integers(1, 3)
    first = rng.integers(VIDEO)
    return np.array(frames[first : first + VIDEO])


def _signals(task: str, centres: np.ndarray, shown: np.ndarray) -> Tensor:
    """(B, T, S, 5) what tokens say of the objects near them, see :class:`Clips`."""
    y, x = np.indices((HEIGHT, WIDTH)).reshape(2, -1)
    grid = np.stack([(x + 0.5) / WIDTH, (y + 0.5) / HEIGHT], axis=-1)
    away = grid - centres[..., None, :]  # (B, T, n, S, 2)
    near = np.exp(-((away * (WIDTH / HEIGHT, 1)) ** 2).sum(axis=-1) / 0.03)
    signals = np.zeros((*near.shape[:2], near.shape[-1], 5))
    signals[..., :2] = 6 * (near[..., None] * away).sum(axis=2)
    signals[..., 2] = near.sum(axis=2)
    if task == "twins":
        signals[..., 3:] = near.swapaxes(2, 3) * shown[..., None, None]
    else:
        signals *= shown[..., None, None]
    return torch.tensor(signals, dtype=torch.float32)


def training_frames(count: int, rng: np.random.Generator) -> Tensor:
    """(B, CLIP) frames of a video: half of the clips in a row, the others spread."""
    frames = []
    for _ in range(count):
        if rng.random() < 0.5:
            frames.append(rng.integers(VIDEO - CLIP + 1) + np.arange(CLIP))
        else:
            frames.append(np.sort(rng.choice(VIDEO, CLIP, replace=False)))
    return torch.tensor(np.stack(frames))


def draw_ellipses(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """(..., *size) masks of objects that fill their boxes (..., 4)."""
    y, x = ((torch.arange(n) + 0.5) / n for n in size)
    cx, cy, w, h = (part[..., None, None] for part in boxes.unbind(-1))
    inside = ((x - cx) / (w / 2)) ** 2 + ((y[:, None] - cy) / (h / 2)) ** 2 <= 1
    return inside.float()
