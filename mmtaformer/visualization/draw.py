"""Drawing of the instances of one frame."""

import math
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from mmtaformer.utils.errors import DataError
from mmtaformer.ytvis.rle import decode

from .tracks import Color, Track

if TYPE_CHECKING:  # imported where text is drawn: training draws none
    from PIL.ImageFont import FreeTypeFont

_MASK_ALPHA = 0.5
_Rect = tuple[int, int, int, int]


def read_frame(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an image.

    Args:
        path: Path of the file.

    Returns:
        RGB, uint8, (H, W, 3).

    Raises:
        FileNotFoundError: If there is no such file.
        DataError: If the file is not an image.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"frame {path} does not exist; check the image folder.")
    image = cv2.imread(str(path))
    if image is None:
        raise DataError(f"frame {path} is not an image; it may be truncated.")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def auto_scale(height: int, width: int, short_side: int = 360) -> int:
    """Whole factor that makes a small frame large enough for labels.

    Args:
        height: Height of the frame in pixels.
        width: Width of the frame in pixels.
        short_side: What the shorter side should at least become.

    Returns:
        1 for frames that are large enough.
    """
    return max(1, math.ceil(short_side / min(height, width)))


def draw_track_frame(
    frame: np.ndarray,
    tracks: Sequence[Track],
    t: int,
    scale: float | None = None,
    trail: int = 0,
) -> np.ndarray:
    """Draw the masks, boxes, labels and trails of one frame.

    Args:
        frame: RGB, uint8, (H, W, 3).
        tracks: The instances of the video. The first ones lie on top.
        t: Index of this frame in the tracks.
        scale: How much larger the picture becomes; None for :func:`auto_scale`.
        trail: Over how many frames the way of an instance's centre is drawn.

    Returns:
        RGB, uint8, (H * scale, W * scale, 3).

    Raises:
        DataError: If a mask has another size than the frame.
    """
    height, width = frame.shape[:2]
    scale = auto_scale(height, width) if scale is None else scale
    size = (round(width * scale), round(height * scale))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    canvas = cv2.resize(frame, size, interpolation=interpolation)
    visible = [track for track in tracks if track.masks[t]]
    line_width = max(1, round(min(size) / 240))
    for track in reversed(visible):
        rle = track.masks[t]
        assert rle is not None
        mask = _decode(rle, (height, width), size)
        _paint_mask(canvas, mask, track.color, line_width)
        _paint_trail(canvas, track, range(max(t - trail, 0), t + 1), scale, line_width)
    boxes = [_scaled_box(track, t, scale, size) for track in visible]
    for track, (x1, y1, x2, y2) in reversed(list(zip(visible, boxes, strict=True))):
        cv2.rectangle(canvas, (x1, y1), (x2, y2), track.color, (line_width + 1) // 2)
    return _write_labels(canvas, visible, boxes)


def draw_side_by_side(pictures: Sequence[np.ndarray], gap: int = 4) -> np.ndarray:
    """Put pictures of one height beside each other.

    Args:
        pictures: RGB, uint8, (H, W_i, 3), for example ground truth and prediction.
        gap: Width of the white stripe between them, in pixels.

    Returns:
        RGB, uint8, (H, sum of W_i and gaps, 3).
    """
    stripe = np.full((pictures[0].shape[0], gap, 3), 255, np.uint8)
    parts = [part for picture in pictures for part in (stripe, picture)]
    return np.concatenate(parts[1:], axis=1)


@lru_cache(maxsize=32)
def load_font(size: int) -> "FreeTypeFont":
    """Load the font that comes with Pillow.

    Args:
        size: Height in pixels.

    Returns:
        The font, for Pillow.
    """
    from PIL import ImageFont

    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return font


def _decode(
    rle: dict[str, Any], frame_size: tuple[int, int], size: tuple[int, int]
) -> np.ndarray:
    """Decode a mask and resize it to (width, height) with a smooth border."""
    if tuple(rle["size"]) != frame_size:
        raise DataError(
            f"a mask has height and width {tuple(rle['size'])}, but its frame has "
            f"{frame_size}; check that images and masks belong together."
        )
    mask = decode(rle)
    if mask.shape == size[::-1]:
        return mask
    resized = cv2.resize(255 * mask, size, interpolation=cv2.INTER_LINEAR)
    enlarged = size[1] / frame_size[0]
    if enlarged > 1:  # rounds the steps between pixels off
        resized = cv2.GaussianBlur(resized, (0, 0), enlarged / 2)
    return (resized > 127).astype(np.uint8)


def _paint_mask(
    canvas: np.ndarray, mask: np.ndarray, color: Color, line_width: int
) -> None:
    x, y, width, height = cv2.boundingRect(mask)
    part = canvas[y : y + height, x : x + width]
    levels = (1 - _MASK_ALPHA) * np.arange(256)[:, None]
    blended = (levels + _MASK_ALPHA * np.array(color)).round().astype(np.uint8)
    tinted = cv2.LUT(part, blended[:, None])
    cv2.copyTo(tinted, mask[y : y + height, x : x + width], part)
    contours = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)[0]
    cv2.drawContours(canvas, contours, -1, color, line_width, cv2.LINE_AA)


def _paint_trail(
    canvas: np.ndarray, track: Track, times: range, scale: float, line_width: int
) -> None:
    """Draw the way of the box's centre over some frames."""
    if len(times) < 2:
        return
    corners = [track.box(t) for t in times if track.masks[t]]
    centres = [((x1 + x2) / 2, (y1 + y2) / 2) for x1, y1, x2, y2 in corners]
    points = (scale * np.array(centres)).round().astype(np.int32)
    cv2.polylines(canvas, [points], False, track.color, line_width, cv2.LINE_AA)


def _scaled_box(track: Track, t: int, scale: float, size: tuple[int, int]) -> _Rect:
    """Corners of the box in the picture, clipped to it."""
    corners = np.array(track.box(t))
    limit = np.array([*size, *size]) - 1
    x1, y1, x2, y2 = (scale * corners).round().clip(0, limit).astype(int).tolist()
    return x1, y1, x2, y2


def _write_labels(
    canvas: np.ndarray, tracks: Sequence[Track], boxes: Sequence[_Rect]
) -> np.ndarray:
    """Write each label on its colour, at its box, beside the labels before it."""
    from PIL import Image, ImageDraw

    height, width = canvas.shape[:2]
    font_size = max(11, round(0.036 * min(height, width)))
    font, pad = load_font(font_size), max(2, font_size // 5)
    ascent, descent = font.getmetrics()
    tag_height = ascent + descent + pad
    image = Image.fromarray(canvas)
    artist = ImageDraw.Draw(image)
    taken: list[_Rect] = []
    for track, box in zip(tracks, boxes, strict=True):
        tag_width = math.ceil(font.getlength(track.caption)) + 2 * pad
        rect = place_label((tag_width, tag_height), box, (width, height), taken)
        taken.append(rect)
        artist.rectangle(rect, fill=track.color)
        origin = (rect[0] + pad, rect[1] + pad // 2)
        artist.text(origin, track.caption, fill=_text_color(track.color), font=font)
    return np.asarray(image)


def place_label(
    tag: tuple[int, int], box: _Rect, canvas: tuple[int, int], taken: Sequence[_Rect]
) -> _Rect:
    """Find a free place for a label: above, below or inside its box, or further off.

    Args:
        tag: Width and height of the label.
        box: The box it belongs to.
        canvas: Width and height of the picture.
        taken: Where labels are already.

    Returns:
        The rectangle; the place above the box if none is free.
    """
    (tag_width, tag_height), (width, height) = tag, canvas
    x = max(0, min(box[0], width - tag_width - 1))
    tops = [box[1] - tag_height, box[3], box[1]]
    tops += list(range(box[1], height, tag_height + 1))
    tops += list(range(box[1], 0, -tag_height - 1))
    fitting = [y for y in tops if 0 <= y < height - tag_height]
    places = [(x, y, x + tag_width, y + tag_height) for y in fitting]
    free = [p for p in places if not any(_overlap(p, other) for other in taken)]
    fallback = (x, 0, x + tag_width, tag_height)
    return next(iter(free or places), fallback)


def _overlap(a: _Rect, b: _Rect) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _text_color(background: Color) -> Color:
    """Black or white, whichever is easier to read on this colour."""
    red, green, blue = background
    is_light = 0.299 * red + 0.587 * green + 0.114 * blue > 130
    return (0, 0, 0) if is_light else (255, 255, 255)
