"""Colours, object textures and backgrounds.

Colours are linear light in [0, 1], blue first as OpenCV stores them.
"""

from dataclasses import dataclass

import cv2
import numpy as np

# The classes where a colour is the class: hues as far apart as they can be.
COLOURS = ("red", "cyan")
TEXTURES = ("mottled", "stripes", "dots", "patches", "rays")
_GAMMA = 2.2

# Background colours (hue in degrees, saturation, value): far, near, detail.
_LANDSCAPES = (
    ((205, 0.30, 0.78), (95, 0.35, 0.45), (75, 0.45, 0.35)),  # meadow
    ((40, 0.25, 0.82), (32, 0.38, 0.62), (25, 0.45, 0.42)),  # sand
    ((195, 0.40, 0.55), (205, 0.60, 0.32), (185, 0.35, 0.65)),  # water
    ((28, 0.35, 0.42), (110, 0.35, 0.25), (45, 0.45, 0.45)),  # forest floor
    ((220, 0.10, 0.72), (215, 0.10, 0.48), (30, 0.12, 0.58)),  # stone
    ((18, 0.40, 0.75), (265, 0.25, 0.42), (340, 0.30, 0.55)),  # dusk
    ((210, 0.06, 0.90), (205, 0.15, 0.72), (215, 0.20, 0.60)),  # snow
)


@dataclass(frozen=True)
class Palette:
    """The two colours of a texture, (3,) each."""

    base: np.ndarray
    accent: np.ndarray


def hsv_colour(hue: float, saturation: float, value: float) -> np.ndarray:
    """(3,) linear colour from hue in degrees, saturation and value in [0, 1]."""
    hsv = np.array([[[hue % 360, saturation, value]]], np.float32)
    return to_linear(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0, 0])


def to_linear(image: np.ndarray) -> np.ndarray:
    """Linear light from display values in [0, 1]."""
    return np.power(np.clip(image, 0, 1), _GAMMA)


def to_display(image: np.ndarray) -> np.ndarray:
    """Display values in [0, 1] from linear light."""
    return np.power(np.clip(image, 0, 1), 1 / _GAMMA)


def fractal_noise(
    rng: np.random.Generator,
    height: int,
    width: int,
    cell: float,
    octaves: int = 4,
    stretch: float = 1.0,
    angle: float = 0.0,
) -> np.ndarray:
    """(height, width) smooth noise, mean 0 and deviation 1.

    Args:
        rng: Source of randomness.
        height: Rows.
        width: Columns.
        cell: Size in pixels of the coarsest bumps; each octave halves it.
        octaves: Number of octaves, each half as strong as the one before.
        stretch: How many times longer than wide the bumps are.
        angle: Direction in which they are long, in radians.
    """
    side = int(np.ceil(np.hypot(height, width))) + 2  # covers the image when turned
    noise = np.zeros((side, side), np.float32)
    for octave in range(octaves):
        scale = max(cell / 2**octave, 1.0)
        noise += _bumps(rng, side, scale * stretch, scale) / 2**octave
    turn = cv2.getRotationMatrix2D(((side - 1) / 2,) * 2, np.degrees(angle), 1)
    turn[:, 2] += np.array([width - side, height - side]) / 2
    noise = cv2.warpAffine(noise, turn, (width, height))
    return (noise - noise.mean()) / max(float(noise.std()), 1e-6)


def _bumps(
    rng: np.random.Generator, side: int, length: float, breadth: float
) -> np.ndarray:
    """(side, side) smooth noise of one scale, its bumps along x ``length`` long."""
    cells = (int(side / breadth) + 3, int(side / length) + 3)
    grid = rng.standard_normal(cells, dtype=np.float32)
    size = (round(cells[1] * length), round(cells[0] * breadth))
    layer = cv2.resize(grid, size, interpolation=cv2.INTER_CUBIC)
    top = rng.integers(layer.shape[0] - side + 1)
    left = rng.integers(layer.shape[1] - side + 1)
    return layer[top : top + side, left : left + side]


def sample_palette(
    rng: np.random.Generator, hue: float, towards: np.ndarray, amount: float
) -> Palette:
    """Draw the colours of an object.

    Args:
        rng: Source of randomness.
        hue: Hue of the base colour in degrees.
        towards: (3,) colour of the background.
        amount: How far to move towards it, in [0, 1].
    """
    saturation, value = rng.uniform(0.4, 0.9), rng.uniform(0.45, 0.95)
    other_hue = hue + rng.uniform(-30, 30)
    other_value = value - 0.3 if value > 0.65 else value + 0.3
    base = hsv_colour(hue, saturation, value)
    accent = hsv_colour(other_hue, saturation * rng.uniform(0.4, 1), other_value)
    return Palette(_mix(base, towards, amount), _mix(accent, towards, amount))


def plain_palette(hue: float) -> Palette:
    """Two tones of one hue in degrees, for objects that only their hue tells apart."""
    return Palette(hsv_colour(hue, 0.85, 0.9), hsv_colour(hue, 0.85, 0.6))


def vary_palette(rng: np.random.Generator, palette: Palette, jitter: float) -> Palette:
    """A palette of the same colour family: each channel scaled by 1 +- jitter."""
    gains = 1 + rng.uniform(-jitter, jitter, (2, 3))
    return Palette(
        np.clip(palette.base * gains[0], 0, 1), np.clip(palette.accent * gains[1], 0, 1)
    )


def paint(
    rng: np.random.Generator, texture: str, palette: Palette, side: int
) -> np.ndarray:
    """(side, side, 3) float32 texture of an object, in the object's frame."""
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) * (2 / side) - 1
    pattern = _pattern(rng, texture, x, y)[..., None]
    grain = 0.1 * fractal_noise(rng, side, side, side / 4, 3)[..., None]
    image = palette.base * (1 - pattern) + palette.accent * pattern
    return np.clip(image * (1 + grain), 0, 1).astype(np.float32)


def paint_background(
    rng: np.random.Generator, height: int, width: int, contrast: float
) -> np.ndarray:
    """(height, width, 3) float32 textured background.

    Args:
        rng: Source of randomness.
        height: Rows.
        width: Columns.
        contrast: Strength of the texture, in [0, 1].
    """
    landscape = _LANDSCAPES[rng.integers(len(_LANDSCAPES))]
    shift = rng.uniform(-12, 12)
    far, near, detail = (
        hsv_colour(hue + shift, saturation, value * rng.uniform(0.85, 1.1))
        for hue, saturation, value in landscape
    )
    ramp = _gradient(rng, height, width)
    stretch, angle = rng.choice([1.0, 2.5, 6.0]), rng.normal(0, 0.5)
    blotches = fractal_noise(rng, height, width, height / 2, 4, stretch, angle)
    relief = fractal_noise(rng, height, width, height / 12, 4, stretch, angle)
    image = far * (1 - ramp) + near * ramp
    cover = (contrast / (1 + np.exp(-3 * blotches)))[..., None]
    image = image * (1 - cover) + detail * cover
    image = image * (1 + 0.35 * contrast * relief[..., None])
    return np.clip(image, 0, 1).astype(np.float32)


def _gradient(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """(height, width, 1) ramp from 0 to 1, mostly from top to bottom."""
    angle = rng.normal(np.pi / 2, 0.4)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    along = np.cos(angle) * x + np.sin(angle) * y
    return (1 / (1 + np.exp(-rng.uniform(1.5, 5) * along)))[..., None]


def _pattern(
    rng: np.random.Generator, texture: str, x: np.ndarray, y: np.ndarray
) -> np.ndarray:
    """Weight of the accent colour in [0, 1], (side, side)."""
    angle, phase = rng.uniform(0, 2 * np.pi, 2)
    side = len(x)
    along = np.cos(angle) * x + np.sin(angle) * y
    across = np.cos(angle) * y - np.sin(angle) * x
    if texture == "stripes":
        wave = np.sin(rng.uniform(4, 8) * along + phase)
    elif texture == "dots":
        rate = rng.uniform(5, 8)
        wave = 2 * np.sin(rate * along + phase) * np.sin(rate * across + phase) - 0.3
    elif texture == "patches":
        wave = 1.5 * fractal_noise(rng, side, side, side / 2.5, octaves=1)
    elif texture == "rays":
        wave = np.sin(rng.integers(3, 7) * np.arctan2(y, x) + phase)
    else:
        wave = 0.5 * fractal_noise(rng, side, side, side / 4, octaves=3)
    return 1 / (1 + np.exp(-5 * wave))


def _mix(colour: np.ndarray, other: np.ndarray, amount: float) -> np.ndarray:
    return colour * (1 - amount) + other * amount


def mean_colour(image: np.ndarray) -> np.ndarray:
    """(3,) mean over the pixels of an image."""
    return image.reshape(-1, image.shape[-1]).mean(axis=0)
