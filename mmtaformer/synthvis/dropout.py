"""Objects that lose their evidence in some frames, while they stay annotated.

What cannot be read from a frame has to come from its neighbours.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from mmtaformer.utils.errors import UsageError

KINDS = ("fade", "noise", "defocus", "background", "grey")
_DEFOCUS = 0.25  # of the side of a sprite: deviation of the blur at strength 1
_GREY = np.float32(0.7)  # of the strongest channel: grey looks brighter than a colour


@dataclass(frozen=True)
class Dropout:
    """Frames in which objects are weakened, and how.

    Runs of weakened frames and gaps of untouched ones take turns, from a random
    place in the first. The frames do not depend on ``strength`` and ``kind``, so a
    seed gives the same videos with every strength.

    Args:
        run: Fewest and most weakened frames in a row.
        gap: Fewest and most untouched frames between two runs.
        strength: How much is lost, in [0, 1]: nothing at 0.
        kind: ``fade``: the object gets transparent. ``noise``: it loses pixels here
            and there. At strength 1 neither draws anything. ``defocus``: it gets
            blurred. ``background``: its colours move to the mean of the background.
            ``grey``: its colours move to greys as
            bright as their strongest channel, which says nothing about the hue.
        together: Whether all objects of a video are weakened in the same frames.

    Raises:
        UsageError: If an option is out of its range.
    """

    run: tuple[int, int] = (1, 2)
    gap: tuple[int, int] = (1, 3)
    strength: float = 1.0
    kind: str = "fade"
    together: bool = False

    def __post_init__(self) -> None:
        for name in ("run", "gap"):
            least, most = getattr(self, name)
            if not 1 <= least <= most:
                raise UsageError(
                    f"dropout {name} is {least} to {most}: give two numbers of frames, "
                    "at least 1, the smaller first."
                )
        if not 0 <= self.strength <= 1:
            raise UsageError(
                f"dropout strength is {self.strength}: give a number from 0 to 1."
            )
        if self.kind not in KINDS:
            raise UsageError(
                f"dropout kind is '{self.kind}': choose one of {', '.join(KINDS)}."
            )


@dataclass(frozen=True)
class Weakness:
    """What one object loses over time.

    Args:
        kind: One of ``KINDS``.
        strengths: (T,) loss in each frame, in [0, 1].
        background: (3,) mean linear colour of the background.
        seed: Seed of the pixels that get lost.
    """

    kind: str
    strengths: np.ndarray
    background: np.ndarray
    seed: int


def sample_strengths(
    rng: np.random.Generator, dropout: Dropout, num_objects: int, num_frames: int
) -> np.ndarray:
    """Draw how much each object loses in each frame.

    Args:
        rng: Source of randomness.
        dropout: The options.
        num_objects: Number of objects n.
        num_frames: Length T of the video.

    Returns:
        (n, T), 0 or ``dropout.strength``. Each object is untouched at least once.
    """
    count = 1 if dropout.together else num_objects
    weakened = np.array([_sample_runs(rng, dropout, num_frames) for _ in range(count)])
    weakened = np.broadcast_to(
        weakened.reshape(count, num_frames), (num_objects, num_frames)
    )
    return dropout.strength * weakened


def _sample_runs(
    rng: np.random.Generator, dropout: Dropout, num_frames: int
) -> np.ndarray:
    """(T,) bool, the frames in which an object is weakened."""
    frames: list[bool] = []
    start = int(rng.integers(dropout.run[1] + dropout.gap[1]))
    while len(frames) < start + num_frames:
        for weakened, bounds in ((False, dropout.gap), (True, dropout.run)):
            frames += [weakened] * int(rng.integers(bounds[0], bounds[1] + 1))
    found = np.array(frames[start : start + num_frames])
    if found.all():
        found[rng.integers(num_frames)] = False
    return found


def weaken(sprite: np.ndarray, weakness: Weakness, time: int) -> np.ndarray:
    """Take from a sprite what it loses in a frame.

    Args:
        sprite: (side, side, 4) linear colours times coverage, and coverage.
        weakness: What the object loses.
        time: Number of the frame.

    Returns:
        The weakened sprite; the same array if nothing is lost.
    """
    strength = float(weakness.strengths[time])
    if strength == 0:
        return sprite
    if weakness.kind == "fade":
        return sprite * np.float32(1 - strength)
    if weakness.kind == "noise":
        rng = np.random.default_rng([weakness.seed, time])
        kept = rng.random((*sprite.shape[:2], 1)) >= strength
        return sprite * kept.astype(np.float32)
    if weakness.kind == "defocus":
        sigma = strength * _DEFOCUS * sprite.shape[0]
        return cv2.GaussianBlur(sprite, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    colours, coverage = sprite[..., :3], sprite[..., 3:]
    if weakness.kind == "grey":
        others = _GREY * np.repeat(colours.max(axis=2, keepdims=True), 3, axis=2)
    else:
        others = weakness.background.astype(np.float32) * coverage
    mixed = colours + np.float32(strength) * (others - colours)
    return np.concatenate([mixed, coverage], axis=2)
