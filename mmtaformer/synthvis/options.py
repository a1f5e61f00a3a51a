"""What identifies a generated split: the same options give the same data."""

import zlib
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from mmtaformer.utils.errors import UsageError

from .difficulty import Difficulty, get_difficulty
from .dropout import Dropout
from .render import Video, render_video
from .scene import sample_scene
from .shapes import CLASSES
from .texture import COLOURS

VERSION = "1.0"  # to be raised when the same options give other data
_MIN_SIDE = 32


@dataclass(frozen=True)
class SplitOptions:
    """Options of one generated split.

    Args:
        split: Name of the split; other names give other videos.
        num_videos: Number of videos. The first ones do not depend on it.
        num_frames: Frames per video.
        size: Width and height in pixels.
        seed: Seed of everything random.
        difficulty: Name of a level in ``DIFFICULTIES``.
        dropout: Replaces the dropout of a level that has one.

    Raises:
        UsageError: If an option is out of its range.
    """

    split: str
    num_videos: int
    num_frames: int
    size: tuple[int, int]
    seed: int
    difficulty: str = "medium"
    dropout: Dropout | None = None

    def __post_init__(self) -> None:
        if not self.split.replace("-", "").replace("_", "").isalnum():
            raise UsageError(
                f"Split name '{self.split}' must consist of letters, digits, - and _."
            )
        for name in ("num_videos", "num_frames"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}: give at least 1.")
        if len(self.size) != 2 or min(self.size) < _MIN_SIDE:
            raise UsageError(
                f"size is {tuple(self.size)}: give width and height of at least "
                f"{_MIN_SIDE} pixels."
            )
        if self.seed < 0:
            raise UsageError(f"seed is {self.seed}: give 0 or more.")
        level = get_difficulty(self.difficulty)
        if self.dropout is not None and level.dropout is None:
            raise UsageError(
                f"Level '{self.difficulty}' shows its objects in every frame: dropout "
                "is for the levels deform and identity."
            )

    @property
    def level(self) -> Difficulty:
        """All knobs of the generator."""
        level = get_difficulty(self.difficulty)
        return replace(level, dropout=self.dropout or level.dropout)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their labels."""
        return COLOURS if self.level.class_is_colour else CLASSES

    def describe(self) -> dict[str, Any]:
        """All that decides the content, as it reads after a round trip by JSON."""
        options = asdict(self)
        del options["dropout"]  # among the knobs
        options["size"] = list(self.size)
        return {"version": VERSION, **options, "knobs": self.level.describe()}


def generate_video(options: SplitOptions, index: int) -> Video:
    """Generate one video of a split, in memory.

    Args:
        options: The split.
        index: Number of the video in the split, from 0.
    """
    key = (zlib.crc32(options.split.encode()), index)
    rng = np.random.default_rng(np.random.SeedSequence(options.seed, spawn_key=key))
    size = (int(options.size[0]), int(options.size[1]))
    scene = sample_scene(rng, options.level, options.num_frames, size)
    return render_video(rng, scene)
