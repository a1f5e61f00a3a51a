"""What a video shows: background, camera, objects and clutter, drawn at random."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from .difficulty import Difficulty
from .dropout import Dropout, Weakness, sample_strengths
from .motion import Motion, Times, Walk, sample_path, still
from .shapes import CLASSES, Shape, sample_shape
from .texture import (
    COLOURS,
    TEXTURES,
    Palette,
    mean_colour,
    paint,
    paint_background,
    plain_palette,
    sample_palette,
    vary_palette,
)

_CAMERA_RATE = 2 * np.pi / 24  # radians per frame
_TEXELS_PER_PIXEL = 1.5


@dataclass(frozen=True)
class Thing:
    """An object of a class, or clutter.

    Args:
        label: Index into the classes; None for clutter.
        group: Objects of one group are look-alikes.
        shape: Outline over time.
        texture: (side, side, 3) linear colours in the object's frame.
        motion: Pose over time.
        depths: Depth at the first and the last frame; the smaller is in front.
        parallax: How far the camera's motion moves it.
        weakness: What it loses in some frames; None if it never does.
    """

    label: int | None
    group: int
    shape: Shape
    texture: np.ndarray
    motion: Motion
    depths: tuple[float, float]
    parallax: float = 0.0
    weakness: Weakness | None = None


@dataclass(frozen=True)
class Camera:
    """A camera that sways.

    Args:
        reach: (2,) largest shift in pixels in x and y.
        phase: (2,) start of the motion in x and y, in radians.
        exposure: Exposure time in frames.
        noise: Standard deviation of the sensor noise in grey levels.
    """

    reach: np.ndarray
    phase: np.ndarray
    exposure: float
    noise: float

    def shift(self, time: Times) -> np.ndarray:
        """(..., 2) shift of the background in pixels at ``time`` (frames)."""
        angle = _CAMERA_RATE * np.asarray(time)[..., None]
        return self.reach * np.sin(self.phase + angle)


@dataclass(frozen=True)
class Scene:
    """A video before it is rendered.

    Args:
        num_frames: Length of the video.
        size: Width and height in pixels.
        background: (h, w, 3) linear colours, larger than the image.
        camera: The camera.
        things: Objects first, then clutter.
    """

    num_frames: int
    size: tuple[int, int]
    background: np.ndarray
    camera: Camera
    things: list[Thing]


@dataclass(frozen=True)
class _Stage:
    """What drawing a thing needs to know of the scene."""

    difficulty: Difficulty
    num_frames: int
    size: tuple[int, int]
    tint: np.ndarray

    @property
    def short_side(self) -> int:
        return min(self.size)

    @property
    def last_frame(self) -> int:
        return max(self.num_frames - 1, 1)


@dataclass(frozen=True)
class _Look:
    """What the objects of a look-alike pair share."""

    label: int
    texture: str
    palette: Palette
    radius: float
    seed: int


class _Start(NamedTuple):
    """Place (2,) in pixels, frame and heading in radians from which a path grows."""

    place: np.ndarray
    time: float
    heading: float


def sample_scene(
    rng: np.random.Generator,
    difficulty: Difficulty,
    num_frames: int,
    size: tuple[int, int],
) -> Scene:
    """Draw a scene.

    Args:
        rng: Source of randomness.
        difficulty: Knobs of the generator.
        num_frames: Length of the video.
        size: Width and height in pixels.
    """
    camera = _sample_camera(rng, difficulty, min(size))
    border = 2 * (int(np.ceil(camera.reach.max())) + 2)
    background = paint_background(
        rng, size[1] + border, size[0] + border, difficulty.texture_contrast
    )
    stage = _Stage(difficulty, num_frames, size, mean_colour(background))
    sample = _sample_alike if difficulty.class_is_colour else _sample_objects
    objects = sample(rng, stage)
    if difficulty.dropout is not None:
        objects = _sample_weakness(rng, stage, difficulty.dropout, objects)
    clutter = [
        _sample_distractor(rng, stage) for _ in _times(rng, difficulty.distractors)
    ]
    clutter += [_sample_post(rng, stage) for _ in _times(rng, difficulty.posts)]
    return Scene(num_frames, size, background, camera, objects + clutter)


def _times(rng: np.random.Generator, bounds: tuple[int, int]) -> range:
    """A range of random length, both bounds included."""
    return range(int(rng.integers(bounds[0], bounds[1] + 1)))


def _sample_camera(
    rng: np.random.Generator, difficulty: Difficulty, short_side: int
) -> Camera:
    speed = difficulty.camera_drift * short_side * rng.uniform(0, 1, 2)
    return Camera(
        reach=speed / _CAMERA_RATE,
        phase=rng.uniform(0, 2 * np.pi, 2),
        exposure=rng.uniform(*difficulty.exposure),
        noise=difficulty.noise,
    )


def _sample_objects(rng: np.random.Generator, stage: _Stage) -> list[Thing]:
    """Objects of the classes; those that meet are led through one place."""
    difficulty = stage.difficulty
    count = len(_times(rng, difficulty.objects))
    things: list[Thing] = []
    group = 0
    while len(things) < count:
        look = _sample_look(rng, stage)
        pair = len(things) + 2 <= count and (
            rng.random() < difficulty.lookalike_probability
        )
        for twin in range(2 if pair else 1):
            partner = None
            if twin:
                partner = things[-1]
            elif things and rng.random() < difficulty.meeting_probability:
                partner = things[rng.integers(len(things))]
            things.append(_sample_object(rng, stage, look, group, partner))
        group += 1
    return things


def _sample_alike(rng: np.random.Generator, stage: _Stage) -> list[Thing]:
    """Balls that share all but their motion and one colour each, their class."""
    difficulty = stage.difficulty
    # Drawn as for any shape, so one in six is as large as a worm would be.
    look = replace(_sample_look(rng, stage), label=CLASSES.index("ball"))
    count = len(_times(rng, difficulty.objects))
    labels = rng.permutation(len(COLOURS))[:count]
    things: list[Thing] = []
    for label in labels.tolist():
        partner = None
        if things and rng.random() < difficulty.meeting_probability:
            partner = things[rng.integers(len(things))]
        hue = label * 360 / len(COLOURS) + rng.normal(0, difficulty.hue_spread)
        coloured = replace(look, palette=plain_palette(hue))
        thing = _sample_object(rng, stage, coloured, 0, partner)
        shape = things[0].shape if things else thing.shape
        things.append(replace(thing, label=label, shape=shape))
    return things


def _sample_weakness(
    rng: np.random.Generator, stage: _Stage, dropout: Dropout, objects: list[Thing]
) -> list[Thing]:
    """The same objects, weakened in some frames."""
    strengths = sample_strengths(rng, dropout, len(objects), stage.num_frames)
    seeds = rng.integers(2**32, size=len(objects)).tolist()
    return [
        replace(thing, weakness=Weakness(dropout.kind, own, stage.tint, seed))
        for thing, own, seed in zip(objects, strengths, seeds)
    ]


def _sample_look(rng: np.random.Generator, stage: _Stage) -> _Look:
    label = int(rng.integers(len(CLASSES)))
    hue = label * 360 / len(CLASSES) + rng.normal(0, stage.difficulty.hue_spread)
    radius = rng.uniform(*stage.difficulty.radius) * stage.short_side
    return _Look(
        label=label,
        texture=str(rng.choice(TEXTURES)),
        palette=sample_palette(rng, hue, stage.tint, stage.difficulty.camouflage),
        radius=radius * (1.25 if CLASSES[label] == "worm" else 1.0),  # it is thin
        seed=int(rng.integers(2**32)),
    )


def _sample_object(
    rng: np.random.Generator,
    stage: _Stage,
    look: _Look,
    group: int,
    partner: Thing | None,
) -> Thing:
    difficulty = stage.difficulty
    palette = vary_palette(rng, look.palette, difficulty.lookalike_jitter)
    leaves = rng.random() < difficulty.leave_probability
    start = _sample_start(rng, stage, look.radius, partner)
    side = int(np.ceil(_TEXELS_PER_PIXEL * 2 * look.radius))
    return Thing(
        label=look.label,
        group=group,
        shape=sample_shape(rng, CLASSES[look.label], difficulty.deformation),
        texture=paint(np.random.default_rng(look.seed), look.texture, palette, side),
        motion=_sample_motion(rng, stage, look.radius, start, leaves),
        depths=_sample_depths(rng, difficulty.depth_swap),
    )


def _sample_start(
    rng: np.random.Generator, stage: _Stage, radius: float, partner: Thing | None
) -> _Start:
    """Where a path goes through: the partner's path if that is in the image."""
    meeting = partner and _sample_meeting(rng, stage, radius, partner.motion)
    return meeting or _Start(
        place=rng.uniform(0.15, 0.85, 2) * stage.size,
        time=rng.uniform(0, 1) * stage.last_frame,
        heading=rng.uniform(0, 2 * np.pi),
    )


def _sample_meeting(
    rng: np.random.Generator, stage: _Stage, radius: float, partner: Motion
) -> _Start | None:
    """A place on the partner's path, heading against it; None if it is outside."""
    for _ in range(8):
        time = rng.uniform(0.2, 0.8) * stage.last_frame
        place = partner.position(time)
        margins = np.minimum(place, np.array(stage.size) - place)
        if margins.min() > 0.5 * radius:
            ahead = partner.position(time + 0.5) - place
            heading = np.arctan2(ahead[1], ahead[0]) + np.pi + rng.normal(0, 0.5)
            return _Start(place + rng.normal(0, 0.25 * radius, 2), time, heading)
    return None


def _sample_motion(
    rng: np.random.Generator,
    stage: _Stage,
    radius: float,
    start: _Start,
    leaves: bool,
) -> Motion:
    difficulty = stage.difficulty
    speed = difficulty.speed * stage.short_side * rng.uniform(0.6, 1.5)
    walk = Walk(stage.num_frames, stage.size, speed, margin=0.8 * radius)
    distance = 1.5 * radius if leaves else None
    return Motion(
        path=sample_path(rng, walk, *start, distance),
        bursts=difficulty.speed_bursts * rng.uniform(0.3, 1),
        burst_phase=rng.uniform(0, 2 * np.pi),
        anchor_time=start.time,
        angle=rng.uniform(0, 2 * np.pi),
        spin=difficulty.spin * rng.uniform(-1, 1),
        size=radius,
        size_change=difficulty.scale_change * rng.uniform(0, 1),
        size_phase=rng.uniform(0, 2 * np.pi),
        size_rate=rng.uniform(0.2, 0.5),
    )


def _sample_depths(
    rng: np.random.Generator, swap: float, nearest: float = 0.0
) -> tuple[float, float]:
    first, change = rng.uniform(nearest, 1), swap * rng.uniform(-1, 1)
    return first, first + change


def _sample_distractor(rng: np.random.Generator, stage: _Stage) -> Thing:
    """A moving shape that looks like an object but is of no class."""
    difficulty = stage.difficulty
    radius = 0.85 * rng.uniform(*difficulty.radius) * stage.short_side
    place = rng.uniform(0, 1, 2) * stage.size
    start = _Start(place, 0.0, rng.uniform(0, 2 * np.pi))
    palette = _any_palette(rng, stage, difficulty.camouflage)
    side = int(np.ceil(_TEXELS_PER_PIXEL * 2 * radius))
    return Thing(
        label=None,
        group=-1,
        shape=sample_shape(
            rng, str(rng.choice(["shard", "cross"])), difficulty.deformation
        ),
        texture=paint(rng, str(rng.choice(TEXTURES)), palette, side),
        motion=_sample_motion(rng, stage, radius, start, leaves=False),
        depths=_sample_depths(rng, difficulty.depth_swap, nearest=0.4),
    )


def _any_palette(rng: np.random.Generator, stage: _Stage, camouflage: float) -> Palette:
    return sample_palette(rng, rng.uniform(0, 360), stage.tint, camouflage)


def _sample_post(rng: np.random.Generator, stage: _Stage) -> Thing:
    """A standing post in front of everything."""
    difficulty = stage.difficulty
    width, height = stage.size
    radius = 0.75 * float(height)
    palette = _any_palette(rng, stage, max(difficulty.camouflage, 0.6))
    side = int(np.ceil(2 * radius))
    place = np.array([rng.uniform(0.1, 0.9) * width, height / 2])
    return Thing(
        label=None,
        group=-1,
        shape=sample_shape(rng, "post", 0.0),
        texture=paint(rng, "mottled", palette, side),
        motion=Motion(still(place), angle=rng.normal(0, 0.15), size=radius),
        depths=(-10.0, -10.0),
        parallax=1.5,
    )
