"""Where things are: smooth trajectories that can be asked at fractional times."""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline

Times = float | np.ndarray  # in frames

_KNOT_SPACING = 3.0  # frames between two waypoints
_BURST_RATE = 2 * np.pi / 7  # radians per frame


@dataclass(frozen=True)
class Motion:
    """Pose of a thing over time.

    Args:
        path: Spline from warped time (frames) to x, y in pixels.
        bursts: Stop-and-go; speed varies by this fraction, in [0, 1).
        burst_phase: Start of that variation, in radians.
        anchor_time: Frame at which warped time equals time.
        angle: Rotation at time 0, in radians.
        spin: Rotation per frame, in radians.
        size: Mean radius in pixels.
        size_change: Relative change of the radius, in [0, 1).
        size_phase: Start of that change, in radians.
        size_rate: Speed of that change, in radians per frame.
    """

    path: CubicSpline
    bursts: float = 0.0
    burst_phase: float = 0.0
    anchor_time: float = 0.0
    angle: float = 0.0
    spin: float = 0.0
    size: float = 1.0
    size_change: float = 0.0
    size_phase: float = 0.0
    size_rate: float = 0.0

    def position(self, time: Times) -> np.ndarray:
        """(..., 2) x, y in pixels at ``time`` (frames)."""
        phase, start = self.burst_phase, _BURST_RATE * self.anchor_time
        swing = np.sin(_BURST_RATE * time + phase) - np.sin(start + phase)
        return self.path(time + self.bursts / _BURST_RATE * swing)

    def rotation(self, time: Times) -> Times:
        """Angle in radians at ``time``."""
        return self.angle + self.spin * time

    def radius(self, time: Times) -> Times:
        """Radius in pixels at ``time``."""
        swing = np.sin(self.size_phase + self.size_rate * time)
        return self.size * (1 + self.size_change * swing)


@dataclass(frozen=True)
class Walk:
    """How a thing wanders.

    Args:
        num_frames: Length of the video.
        size: Width and height of the image.
        speed: Mean speed in pixels per frame.
        margin: Distance in pixels that waypoints keep from the border.
    """

    num_frames: int
    size: tuple[int, int]
    speed: float
    margin: float


def sample_path(
    rng: np.random.Generator,
    walk: Walk,
    start: np.ndarray,
    start_time: float,
    heading: float,
    leave_distance: float | None = None,
) -> CubicSpline:
    """Random walk inside the image, forwards and backwards from one place and time.

    Args:
        rng: Source of randomness.
        walk: Pace and bounds.
        start: (2,) x, y in pixels.
        start_time: Frame at which the path goes through ``start``.
        heading: Direction there, in radians.
        leave_distance: If given, the path leaves the image once, to so many pixels
            beyond the border, and comes back.

    Returns:
        Spline from time in frames to x, y in pixels.
    """
    # Stop-and-go runs up to two frames ahead of time or behind: see Motion.position.
    before = int(np.ceil((start_time + 3) / _KNOT_SPACING))
    after = int(np.ceil((walk.num_frames + 2 - start_time) / _KNOT_SPACING))
    step = walk.speed * _KNOT_SPACING * np.array([np.cos(heading), np.sin(heading)])
    past = _wander(rng, walk, start, -step, before)[::-1]
    future = _wander(rng, walk, start, step, after)
    points = np.stack([*past, np.asarray(start, float), *future])
    times = start_time + _KNOT_SPACING * np.arange(-before, after + 1)
    if leave_distance is not None:
        inside = (times >= 0) & (times <= walk.num_frames - 1)
        inside[before] = False  # others may have been led to this place
        if inside.any():
            knot = int(rng.choice(np.flatnonzero(inside)))
            points = _leave(points, knot, before, leave_distance, walk.size)
    return CubicSpline(times, points, bc_type="natural")


def still(position: np.ndarray) -> CubicSpline:
    """Path of a thing that does not move."""
    return CubicSpline([0.0, 1.0], np.stack([position, position]))


def _wander(
    rng: np.random.Generator,
    walk: Walk,
    start: np.ndarray,
    step: np.ndarray,
    count: int,
) -> list[np.ndarray]:
    """``count`` waypoints after ``start``, reflected at the margins."""
    low = np.full(2, walk.margin)
    high = np.maximum(np.array(walk.size) - walk.margin, low)
    points, point = [], np.asarray(start, float)
    for _ in range(count):
        step = _turn(step, rng.normal(0, 0.4))
        point = point + step * rng.uniform(0.7, 1.3)
        step = np.where((point < low) | (point > high), -step, step)
        point = np.where(point < low, 2 * low - point, point)
        point = np.where(point > high, 2 * high - point, point)
        point = np.clip(point, low, high)
        points.append(point)
    return points


def _leave(
    points: np.ndarray, knot: int, fixed: int, distance: float, size: tuple[int, int]
) -> np.ndarray:
    """Push one waypoint over the nearest border, and its neighbours towards it."""
    points = points.copy()
    gaps = np.concatenate([points[knot], np.array(size) - points[knot]])
    side = int(np.argmin(gaps))
    target = points[knot].copy()
    target[side % 2] = -distance if side < 2 else size[side % 2] + distance
    points[knot] = target
    for neighbour in (knot - 1, knot + 1):
        if neighbour != fixed and 0 <= neighbour < len(points):
            points[neighbour] += 0.4 * (target - points[neighbour])
    return points


def _turn(step: np.ndarray, angle: float) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([cos * step[0] - sin * step[1], sin * step[0] + cos * step[1]])
