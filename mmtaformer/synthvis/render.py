"""Renders a scene: motion-blurred frames and visible masks.

A frame is the mean, in linear light, of images at several moments of the exposure.
Its masks are those of the middle of the exposure, so a blurred object is annotated
where it was at the time of the frame.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from .dropout import weaken
from .scene import Scene, Thing
from .shapes import outline
from .texture import to_display

_MAX_MOMENTS = 15
_PIXELS_PER_MOMENT = 1.5
_SUBPIXEL_BITS = 6
_FILL = 0.94  # of a sprite, by the unit disc; the rest is for soft edges


@dataclass(frozen=True)
class Video:
    """A rendered video.

    Args:
        frames: (T, H, W, 3) uint8, blue first.
        masks: (n, T, H, W) bool, visible pixels of each object; disjoint.
        full_masks: (n, T, H, W) bool, the same without what hides the objects.
        labels: (n,) index into the classes.
        groups: (n,) objects with the same number are look-alikes.
        visibilities: (n, T) what is left of each object in each frame, in [0, 1];
            masks are those of objects that are drawn in full. None where nothing is
            ever taken.
    """

    frames: np.ndarray
    masks: np.ndarray
    full_masks: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    visibilities: np.ndarray | None = None


def render_video(rng: np.random.Generator, scene: Scene) -> Video:
    """Render all frames of a scene.

    Args:
        rng: Source of the sensor noise.
        scene: What to render.
    """
    objects = [
        index for index, thing in enumerate(scene.things) if thing.label is not None
    ]
    frames, masks, full_masks = [], [], []
    for time in range(scene.num_frames):
        frame, coverage, order = render_frame(scene, time)
        noise = rng.standard_normal(frame.shape, dtype=np.float32)
        noisy = 255 * to_display(frame) + scene.camera.noise * noise
        frames.append(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))
        full = coverage >= 0.5
        full_masks.append(full[objects])
        masks.append(visible_masks(full, order)[objects])
    return Video(
        frames=np.stack(frames),
        masks=np.stack(masks, axis=1),
        full_masks=np.stack(full_masks, axis=1),
        labels=np.array([scene.things[index].label for index in objects], np.int64),
        groups=np.array([scene.things[index].group for index in objects], np.int64),
        visibilities=_visibilities([scene.things[index] for index in objects]),
    )


def _visibilities(things: list[Thing]) -> np.ndarray | None:
    """(n, T) what is left of things; None if nothing is ever taken."""
    losses = [thing.weakness.strengths for thing in things if thing.weakness]
    return 1 - np.stack(losses) if losses else None


def render_frame(scene: Scene, time: float) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Render one frame without sensor noise.

    Args:
        scene: What to render.
        time: Middle of the exposure, in frames.

    Returns:
        Linear image (H, W, 3) float32; coverage (n, H, W) of each thing at the middle
        of the exposure, in [0, 1], as if nothing was taken from it; indices of the
        things from back to front.
    """
    width, height = scene.size
    order = sorted(
        range(len(scene.things)), key=lambda index: -_depth(scene, index, time)
    )
    moments = _moments(scene, time)
    poses = [_poses(scene, thing, moments) for thing in scene.things]
    sprites = [_sprite(thing, time) for thing in scene.things]
    drawn = [
        weaken(sprite, thing.weakness, int(time)) if thing.weakness else sprite
        for thing, sprite in zip(scene.things, sprites)
    ]
    coverage = np.zeros((len(scene.things), height, width), np.float32)
    total = np.zeros((3, height, width), np.float32)
    for number, moment in enumerate(moments):
        image = _background(scene, moment)
        for index in order:
            box = _bounds(poses[index][number], scene.size)
            if box is None:
                continue
            _blend(image, drawn[index], poses[index][number], box)
            if number == len(moments) // 2:
                x1, y1, x2, y2 = box
                planes = _warp(sprites[index], poses[index][number], box)
                coverage[index, y1:y2, x1:x2] = planes[3]
        total += image
    return (total / len(moments)).transpose(1, 2, 0), coverage, order


def visible_masks(full: np.ndarray, order: list[int]) -> np.ndarray:
    """What remains of (n, H, W) masks when things hide each other.

    Args:
        full: Bool masks of whole things.
        order: Their indices from back to front.

    Returns:
        (n, H, W) bool masks, disjoint.
    """
    visible = np.zeros_like(full)
    taken = np.zeros(full.shape[1:], bool)
    for index in reversed(order):
        visible[index] = full[index] & ~taken
        taken |= full[index]
    return visible


def _depth(scene: Scene, index: int, time: float) -> float:
    first, last = scene.things[index].depths
    return first + (last - first) * time / max(scene.num_frames - 1, 1)


def _moments(scene: Scene, time: float) -> np.ndarray:
    """Times at which the exposure is sampled: an odd number, close enough together."""
    exposure = scene.camera.exposure
    ends = time + exposure * np.array([-0.5, 0.0, 0.5])
    longest = 0.0
    for thing in scene.things:
        poses = _poses(scene, thing, ends)
        if any(_bounds(pose, scene.size) for pose in poses):
            travel = np.hypot(*np.diff(poses[:, :, 2], axis=0).T).sum()
            turn = abs(thing.motion.spin) * exposure * thing.motion.radius(time)
            longest = max(longest, travel + turn)
    count = 2 * int(np.ceil(longest / _PIXELS_PER_MOMENT / 2)) + 1
    count = min(count, _MAX_MOMENTS)
    return time + exposure * ((np.arange(count) + 0.5) / count - 0.5)


def _background(scene: Scene, time: float) -> np.ndarray:
    """(3, H, W) background as the camera sees it at ``time``."""
    rows, columns = scene.background.shape[:2]
    dx, dy = scene.camera.shift(time)
    centre = ((columns - 1) / 2 - dx, (rows - 1) / 2 - dy)
    view = cv2.getRectSubPix(scene.background, scene.size, centre)
    return np.ascontiguousarray(view.transpose(2, 0, 1))


def _sprite(thing: Thing, time: float) -> np.ndarray:
    """(side, side, 4) linear colours times coverage, and coverage."""
    side = thing.texture.shape[0]
    alpha = np.zeros((side, side), np.uint8)
    scale = (side / 2) * 2**_SUBPIXEL_BITS
    centre = ((side - 1) / 2) * 2**_SUBPIXEL_BITS
    contours = [
        np.rint(points * scale * _FILL + centre).astype(np.int32)
        for points in outline(thing.shape, time)
    ]
    cv2.fillPoly(alpha, contours, 255, cv2.LINE_AA, _SUBPIXEL_BITS)
    # Darker towards the edge, as round things are.
    inside = cv2.distanceTransform((alpha > 127).astype(np.uint8), cv2.DIST_L2, 3)
    shade = 0.55 + 0.45 * np.minimum(inside / (0.12 * side), 1)
    coverage = alpha.astype(np.float32)[..., None] / 255
    return np.concatenate(
        [thing.texture * shade[..., None] * coverage, coverage], axis=2
    )


def _poses(scene: Scene, thing: Thing, times: np.ndarray) -> np.ndarray:
    """(k, 2, 3) affine maps from the thing's unit disc to pixels at (k,) times."""
    radius, angle = thing.motion.radius(times), thing.motion.rotation(times)
    cos, sin = radius * np.cos(angle), radius * np.sin(angle)
    place = thing.motion.position(times) + thing.parallax * scene.camera.shift(times)
    rows = np.array([[cos, -sin, place[:, 0]], [sin, cos, place[:, 1]]])
    return rows.transpose(2, 0, 1)


def _bounds(
    pose: np.ndarray, size: tuple[int, int]
) -> tuple[int, int, int, int] | None:
    """x1, y1, x2, y2 of the pixels that a thing may touch; None if there are none."""
    (cos, _, x), (sin, _, y) = pose.tolist()
    radius = math.hypot(cos, sin) + 1
    x1, y1 = max(math.floor(x - radius), 0), max(math.floor(y - radius), 0)
    x2 = min(math.ceil(x + radius) + 1, size[0])
    y2 = min(math.ceil(y + radius) + 1, size[1])
    return (x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None


def _blend(
    image: np.ndarray, sprite: np.ndarray, pose: np.ndarray, box: tuple[int, ...]
) -> None:
    """Put a sprite into the box of a (3, H, W) image."""
    x1, y1, x2, y2 = box
    planes = _warp(sprite, pose, box)
    region = image[:, y1:y2, x1:x2]
    region *= 1 - planes[3]
    region += planes[:3]


def _warp(sprite: np.ndarray, pose: np.ndarray, box: tuple[int, ...]) -> np.ndarray:
    """(4, h, w) colours times coverage, and coverage, of a sprite in a box."""
    x1, y1, x2, y2 = box
    side = sprite.shape[0]
    matrix = pose.copy()
    matrix[:, :2] *= 2 / (_FILL * side)  # sprite pixels to the unit disc
    matrix[:, 2] -= matrix[:, :2].sum(axis=1) * (side - 1) / 2
    matrix[:, 2] -= (x1 + 0.5, y1 + 0.5)  # pixel centres lie at halves
    patch = cv2.warpAffine(sprite, matrix, (x2 - x1, y2 - y1))
    return np.ascontiguousarray(patch.transpose(2, 0, 1))
