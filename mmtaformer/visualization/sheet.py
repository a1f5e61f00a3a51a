"""Contact sheets: several clips on one page, rows to compare under each other."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from mmtaformer.utils.errors import UsageError
from mmtaformer.utils.files import atomic_path

from .draw import load_font

_INK, _GREY = (25, 25, 25), (110, 110, 110)


@dataclass(frozen=True)
class SheetClip:
    """One clip of a contact sheet.

    Attributes:
        title: Written above the clip.
        columns: Caption of each column, such as ``frame 3``.
        rows: Caption of each row to its pictures (RGB, uint8, (h, w, 3), all of one
            size), one per column.
    """

    title: str
    columns: Sequence[str]
    rows: Mapping[str, Sequence[np.ndarray]]

    @property
    def cell(self) -> tuple[int, int]:
        """Width and height of a picture."""
        height, width = next(iter(self.rows.values()))[0].shape[:2]
        return width, height


def contact_sheet(
    path: str | os.PathLike[str],
    clips: Sequence[SheetClip],
    title: str = "",
    font_size: int = 16,
) -> None:
    """Write a PNG with clips under each other, and time running to the right.

    Args:
        path: The PNG file; it appears when it is complete.
        clips: The clips; at least one.
        title: Written at the top of the page.
        font_size: Height of the captions in pixels.

    Raises:
        UsageError: If there are no clips.
    """
    from PIL import ImageDraw  # here: training draws no sheets

    if not clips:
        raise UsageError(f"{path}: there are no clips to show.")
    layout = _Layout(font_size)
    header = 2 * layout.line if title else 0
    heights = [layout.clip_height(clip) for clip in clips]
    width = 2 * layout.margin + max(layout.clip_width(clip) for clip in clips)
    height = 2 * layout.margin + header + sum(heights) + layout.gap * 3 * len(clips)
    page = Image.new("RGB", (width, height), "white")
    artist = ImageDraw.Draw(page)
    top = layout.margin
    if title:
        font = load_font(round(1.4 * font_size))
        artist.text((layout.margin, top), title, _INK, font)
    top += header
    for clip, clip_height in zip(clips, heights, strict=True):
        _draw_clip(page, clip, top, layout)
        top += clip_height + layout.gap * 3
    with atomic_path(path) as partial:
        page.save(partial)


class _Layout:
    """Distances in pixels, all from the height of the captions."""

    def __init__(self, font_size: int) -> None:
        self.font_size = font_size
        self.margin = 2 * font_size
        self.line = round(1.6 * font_size)
        self.gap = font_size // 2

    def clip_width(self, clip: SheetClip) -> int:
        return self.line + len(clip.columns) * (clip.cell[0] + self.gap) - self.gap

    def clip_height(self, clip: SheetClip) -> int:
        return 2 * self.line + len(clip.rows) * (clip.cell[1] + self.gap) - self.gap


def _draw_clip(page: Image.Image, clip: SheetClip, top: int, layout: _Layout) -> None:
    """Draw title, column captions and rows of a clip, starting at ``top``."""
    from PIL import ImageDraw

    artist = ImageDraw.Draw(page)
    font = load_font(layout.font_size)
    small = load_font(round(0.85 * layout.font_size))
    cell_width, cell_height = clip.cell
    left = layout.margin + layout.line
    lefts = [left + i * (cell_width + layout.gap) for i in range(len(clip.columns))]
    artist.text((left, top), clip.title, _INK, font)
    top += layout.line
    for x, caption in zip(lefts, clip.columns, strict=True):
        artist.text((x + cell_width // 2, top), caption, _GREY, small, anchor="ma")
    top += layout.line
    for caption, pictures in clip.rows.items():
        upright = Image.new("RGB", (cell_height, layout.line), "white")
        middle = (cell_height // 2, layout.line // 2 - layout.gap // 2)
        ImageDraw.Draw(upright).text(middle, caption, _INK, font, anchor="mm")
        page.paste(upright.rotate(90, expand=True), (layout.margin, top))
        for x, picture in zip(lefts, pictures, strict=True):
            page.paste(Image.fromarray(picture), (x, top))
        top += cell_height + layout.gap
