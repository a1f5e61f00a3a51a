"""How hard the generated videos are: every knob of the generator in one place."""

from dataclasses import asdict, dataclass
from typing import Any

from mmtaformer.utils.errors import UsageError

from .dropout import Dropout


@dataclass(frozen=True)
class Difficulty:
    """Knobs of the generator. Lengths are fractions of the short image side.

    Args:
        name: Name of the level, stored with the data.
        objects: Least and most objects of a class per video.
        radius: Least and most object radius.
        hue_spread: Standard deviation in degrees of hues around that of the class,
            one every 60 degrees: the smaller, the more colour tells about the class.
        lookalike_probability: Chance that a video holds a look-alike pair, two
            objects of one class, texture and size.
        lookalike_jitter: How far the colours of a pair differ (0: identical).
        meeting_probability: Chance that an object is led across an earlier one.
            The two of a look-alike pair always meet.
        leave_probability: Chance that an object leaves the image and comes back.
        depth_swap: How much depths change during a video (0: a fixed order).
        speed: Mean speed per frame.
        speed_bursts: Stop-and-go, in [0, 1): speed varies by this fraction.
        exposure: Least and most exposure time, as a fraction of the frame
            interval. With speed it decides the length of the motion blur.
        deformation: Amplitude of the non-rigid motion of the outlines, in [0, 1].
        spin: Largest rotation per frame, in radians.
        scale_change: Largest relative change of size during a video, in [0, 1).
        distractors: Least and most moving shapes that belong to no class.
        posts: Least and most static foreground posts that hide what is behind.
        camouflage: How far object colours move towards the background's, in [0, 1].
        texture_contrast: Contrast of the background texture.
        camera_drift: Largest camera motion per frame.
        noise: Standard deviation of the sensor noise in grey levels of 255.
        dropout: Frames in which objects are weakened; None where there are none.
        class_is_colour: Whether the objects of a video are balls, alike but for one
            colour each, which is their class in place of the shape.
    """

    name: str
    objects: tuple[int, int]
    radius: tuple[float, float]
    hue_spread: float
    lookalike_probability: float
    lookalike_jitter: float
    meeting_probability: float
    leave_probability: float
    depth_swap: float
    speed: float
    speed_bursts: float
    exposure: tuple[float, float]
    deformation: float
    spin: float
    scale_change: float
    distractors: tuple[int, int]
    posts: tuple[int, int]
    camouflage: float
    texture_contrast: float
    camera_drift: float
    noise: float
    dropout: Dropout | None = None
    class_is_colour: bool = False

    def describe(self) -> dict[str, Any]:
        """Return all knobs but the name, as they read after a round trip by JSON.

        Knobs that a level does without are left out, those of the dropout get names
        of their own.
        """
        knobs = asdict(self)
        del knobs["name"]
        dropout = knobs.pop("dropout") or {}
        knobs |= {f"dropout_{name}": value for name, value in dropout.items()}
        if not knobs["class_is_colour"]:
            del knobs["class_is_colour"]
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in knobs.items()
        }


_EASY = Difficulty(
    name="easy",
    objects=(1, 2),
    radius=(0.2, 0.3),
    hue_spread=20.0,
    lookalike_probability=0.2,
    lookalike_jitter=0.3,
    meeting_probability=0.15,
    leave_probability=0.1,
    depth_swap=0.0,
    speed=0.03,
    speed_bursts=0.4,
    exposure=(0.05, 0.3),
    deformation=0.25,
    spin=0.06,
    scale_change=0.15,
    distractors=(0, 0),
    posts=(0, 0),
    camouflage=0.0,
    texture_contrast=0.35,
    camera_drift=0.004,
    noise=1.5,
)

_MEDIUM = Difficulty(
    name="medium",
    objects=(2, 4),
    radius=(0.14, 0.23),
    hue_spread=40.0,
    lookalike_probability=0.5,
    lookalike_jitter=0.12,
    meeting_probability=0.5,
    leave_probability=0.3,
    depth_swap=0.5,
    speed=0.05,
    speed_bursts=0.7,
    exposure=(0.2, 0.8),
    deformation=0.5,
    spin=0.12,
    scale_change=0.25,
    distractors=(0, 2),
    posts=(0, 1),
    camouflage=0.1,
    texture_contrast=0.5,
    camera_drift=0.01,
    noise=2.5,
)

_HARD = Difficulty(
    name="hard",
    objects=(3, 5),
    radius=(0.11, 0.21),
    hue_spread=180.0,
    lookalike_probability=0.9,
    lookalike_jitter=0.04,
    meeting_probability=0.8,
    leave_probability=0.5,
    depth_swap=1.0,
    speed=0.08,
    speed_bursts=0.9,
    exposure=(0.4, 1.0),
    deformation=0.8,
    spin=0.25,
    scale_change=0.4,
    distractors=(1, 4),
    posts=(1, 2),
    camouflage=0.35,
    texture_contrast=0.75,
    camera_drift=0.025,
    noise=4.0,
)

# What is asked in a weakened frame can be known from its neighbours alone. One
# object, so that nobody has to be told from anybody.
_DEFORM = Difficulty(
    name="deform",
    objects=(1, 1),
    radius=(0.2, 0.3),
    hue_spread=20.0,
    lookalike_probability=0.0,
    lookalike_jitter=0.0,
    meeting_probability=0.0,
    leave_probability=0.0,
    depth_swap=0.0,
    speed=0.05,
    speed_bursts=0.4,
    exposure=(0.2, 0.8),
    deformation=0.5,
    spin=0.12,
    scale_change=0.3,
    distractors=(0, 0),
    posts=(0, 0),
    camouflage=0.0,
    texture_contrast=0.35,
    camera_drift=0.004,
    noise=1.5,
    dropout=Dropout(run=(1, 2), gap=(1, 3)),
)

# Any three frames in a row have exactly one that shows who is who. The two meet, so
# that a place says little about an object. Small models find balls and two colours
# quickly; with shapes that are hard to outline, or six colours, they never come to
# following anybody.
_IDENTITY = Difficulty(
    name="identity",
    objects=(2, 2),
    radius=(0.17, 0.22),
    hue_spread=5.0,
    lookalike_probability=0.0,
    lookalike_jitter=0.0,
    meeting_probability=1.0,
    leave_probability=0.0,
    depth_swap=0.0,
    speed=0.08,
    speed_bursts=0.4,
    exposure=(0.05, 0.3),
    deformation=0.25,
    spin=0.06,
    scale_change=0.0,
    distractors=(0, 0),
    posts=(0, 0),
    camouflage=0.0,
    texture_contrast=0.35,
    camera_drift=0.004,
    noise=1.5,
    dropout=Dropout(run=(2, 2), gap=(1, 1), kind="grey", together=True),
    class_is_colour=True,
)

DIFFICULTIES = {
    level.name: level for level in (_EASY, _MEDIUM, _HARD, _DEFORM, _IDENTITY)
}


def get_difficulty(name: str) -> Difficulty:
    """The difficulty level called ``name``.

    Raises:
        UsageError: If there is no such level.
    """
    if name not in DIFFICULTIES:
        raise UsageError(
            f"Unknown difficulty '{name}': choose one of {sorted(DIFFICULTIES)}."
        )
    return DIFFICULTIES[name]
