"""Outlines of the classes as functions of time.

An outline is a list of closed contours in the object's own frame: points inside the
unit disc, filled by the even-odd rule, so the second contour of a ring is its hole.
Times are in frames and may be fractional.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

CLASSES = ("ball", "star", "worm", "ring", "crescent", "clover")
CLUTTER = ("shard", "cross", "post")

Outline = list[np.ndarray]
_ANGLES = np.linspace(0, 2 * np.pi, 96, endpoint=False)


@dataclass(frozen=True)
class Shape:
    """A deforming shape.

    Args:
        kind: One of ``CLASSES`` or ``CLUTTER``.
        phases: (8,) start of each mode of deformation, in radians.
        rates: (8,) speed of each mode, in radians per frame.
        amplitude: Strength of the deformation, in [0, 1].
    """

    kind: str
    phases: np.ndarray
    rates: np.ndarray
    amplitude: float

    def mode(self, index: int, time: float) -> float:
        """Value of one deformation mode, within +-amplitude."""
        return self.amplitude * np.sin(self.phases[index] + self.rates[index] * time)


def sample_shape(rng: np.random.Generator, kind: str, amplitude: float) -> Shape:
    """Draw the deformation of a shape of class ``kind``."""
    return Shape(
        kind=kind,
        phases=rng.uniform(0, 2 * np.pi, 8),
        rates=rng.uniform(0.3, 0.9, 8) * rng.choice([-1, 1], 8),
        amplitude=amplitude,
    )


def outline(shape: Shape, time: float) -> Outline:
    """Contours of ``shape`` at ``time``.

    Args:
        shape: The shape.
        time: Frames since the start of the video.

    Returns:
        List of (n, 2) arrays of x, y within the unit disc.
    """
    contours = _OUTLINES[shape.kind](shape, time)
    if shape.kind != "post":
        squash = _squash(shape, time)
        contours = [points @ squash for points in contours]
    longest = max(np.hypot(*points.T).max() for points in contours)
    return [points / max(longest, 1.0) for points in contours]


def _squash(shape: Shape, time: float) -> np.ndarray:
    """(2, 2) area-preserving stretch along an axis that stays with the object."""
    stretch = np.exp(0.22 * shape.mode(0, time))
    cos, sin = np.cos(shape.phases[0]), np.sin(shape.phases[0])
    axes = np.array([[cos, sin], [-sin, cos]])
    return axes.T @ np.diag([stretch, 1 / stretch]) @ axes


def _polar(radii: np.ndarray, angles: np.ndarray = _ANGLES) -> np.ndarray:
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)


def _wobble(shape: Shape, time: float, angles: np.ndarray) -> np.ndarray:
    """Waves that travel along a contour, about +-amplitude."""
    waves = np.zeros_like(angles)
    for index, order in enumerate((2, 3, 5)):
        phase = shape.phases[1 + index] + shape.rates[1 + index] * time
        waves += np.cos(order * angles + phase) / order
    return shape.amplitude * waves


def _ribbon(centre: np.ndarray, half_width: np.ndarray) -> np.ndarray:
    """Closed contour around a centre line (n, 2) with half widths (n,)."""
    tangent = np.gradient(centre, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    offset = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1) * half_width[:, None]
    return np.concatenate([centre + offset, (centre - offset)[::-1]])


def _ball(shape: Shape, time: float) -> Outline:
    return [_polar(0.82 * (1 + 0.12 * _wobble(shape, time, _ANGLES)))]


def _star(shape: Shape, time: float) -> Outline:
    angles = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    radii = np.tile([0.95, 0.4], 5)
    radii = radii * (1 + 0.16 * _wobble(shape, time, angles))
    sway = np.tile([0.3, 0.0], 5) * _wobble(shape, 0.7 * time, angles[::-1])
    return [_polar(radii, angles + sway)]


def _worm(shape: Shape, time: float) -> Outline:
    along = np.linspace(-1, 1, 40)
    swing = (0.1 + 0.3 * shape.amplitude) * (1 + 0.3 * shape.mode(2, time))
    wave = np.sin(1.15 * np.pi * along + shape.phases[1] + shape.rates[1] * time)
    centre = np.stack([0.92 * along, swing * wave], axis=1)
    half_width = 0.21 * (1 - np.abs(along) ** 8) ** 0.5
    return [_ribbon(centre, half_width)]


def _ring(shape: Shape, time: float) -> Outline:
    waves = _wobble(shape, time, _ANGLES)
    hole = 0.5 + 0.07 * shape.mode(4, time)
    return [_polar(0.88 * (1 + 0.1 * waves)), _polar(hole * (1 + 0.1 * waves))]


def _crescent(shape: Shape, time: float) -> Outline:
    reach = np.pi * (0.62 + 0.16 * shape.mode(1, time))
    along = np.linspace(-1, 1, 48)
    centre = _polar(0.62 * np.ones(48), reach * along) - [0.1, 0]
    lean = 1 + 0.25 * shape.mode(2, time) * along
    half_width = 0.36 * np.sqrt(1 - along**2) * lean
    return [_ribbon(centre, half_width)]


def _clover(shape: Shape, time: float) -> Outline:
    lobes = np.abs(np.cos(2 * _ANGLES)) ** 0.7
    radii = 0.34 + 0.6 * lobes
    return [_polar(radii * (1 + 0.14 * _wobble(shape, time, _ANGLES)))]


def _shard(shape: Shape, time: float) -> Outline:
    corners = 3 + int(shape.phases[7] > np.pi)
    angles = np.arange(corners) * 2 * np.pi / corners
    angles = angles + 0.3 * np.sin(shape.phases[:corners])
    radii = 0.8 + 0.15 * np.cos(shape.phases[:corners] + shape.rates[0] * time)
    return [_polar(radii, angles)]


def _cross(shape: Shape, time: float) -> Outline:
    arm = 0.2 + 0.05 * shape.mode(1, time)
    x = np.array([1, 1, arm, arm, -arm, -arm, -1, -1, -arm, -arm, arm, arm])
    y = np.array([-arm, arm, arm, 1, 1, arm, arm, -arm, -arm, -1, -1, -arm])
    return [0.9 * np.stack([x, y], axis=1)]


def _post(shape: Shape, time: float) -> Outline:
    half = 0.05 + 0.02 * np.cos(shape.phases[0])
    return [np.array([[-half, -0.99], [half, -0.99], [half, 0.99], [-half, 0.99]])]


_OUTLINES: dict[str, Callable[[Shape, float], Outline]] = {
    "ball": _ball,
    "star": _star,
    "worm": _worm,
    "ring": _ring,
    "crescent": _crescent,
    "clover": _clover,
    "shard": _shard,
    "cross": _cross,
    "post": _post,
}
