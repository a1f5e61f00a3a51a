"""Rows of pictures: the layout of the figures that show frames side by side."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.figure import Figure

# Inches: what stands at the left, above a group, above a picture, and between.
_LABEL, _TITLE, _CAPTION, _GAP = 0.3, 0.3, 0.2, 0.04


@dataclass(frozen=True)
class PictureRow:
    """One row of a grid.

    Attributes:
        label: Written upright at the left.
        pictures: RGB, uint8, (H, W, 3); or maps of any numbers, (H, W), shown in
            colours that cover the range of the row.
        title: Written above the first picture, which starts a group of rows.
        captions: Written above the pictures.
    """

    label: str
    pictures: Sequence[np.ndarray]
    title: str = ""
    captions: Sequence[str] = field(default=())

    def color_range(self) -> tuple[float, float]:
        """Smallest and largest value shown; outliers beyond 1 % are cut off."""
        values = np.concatenate([picture.ravel() for picture in self.pictures])
        low, high = np.percentile(values, [1, 99])
        return float(low), float(high)

    def head(self) -> float:
        """Inches above the pictures."""
        return _TITLE * bool(self.title) + _CAPTION * bool(self.captions)


def picture_grid(rows: Sequence[PictureRow], cell_width: float = 1.9) -> Figure:
    """Lay rows of pictures out under each other.

    Args:
        rows: The rows; pictures of a row have one shape.
        cell_width: Width of a picture in inches.

    Returns:
        A figure with one axes per picture, row by row.
    """
    columns = max(len(row.pictures) for row in rows)
    heights = []
    for row in rows:
        height, width = row.pictures[0].shape[:2]
        heights.append(cell_width * height / width)
    total_width = _LABEL + columns * (cell_width + _GAP)
    total_height = sum(heights) + sum(row.head() + _GAP for row in rows) + _GAP
    figure = Figure(figsize=(total_width, total_height))
    top = total_height
    for row, height in zip(rows, heights, strict=True):
        top -= row.head()
        for column, picture in enumerate(row.pictures):
            left = _LABEL + column * (cell_width + _GAP)
            box = (left, top - height, cell_width, height)
            scale = (total_width, total_height, total_width, total_height)
            ax = figure.add_axes([a / b for a, b in zip(box, scale, strict=True)])
            _show(ax, picture, row)
            if row.captions:
                ax.set_title(row.captions[column], fontsize=8, color="#555555", pad=3)
        first = figure.axes[-len(row.pictures)]
        first.set_ylabel(row.label, fontsize=9)
        if row.title:
            y = (top + row.head() - 0.7 * _TITLE) / total_height
            figure.text(
                _LABEL / total_width, y, row.title, fontsize=10, fontweight="bold"
            )
        top -= height + _GAP
    return figure


def _show(ax, picture: np.ndarray, row: PictureRow) -> None:
    if picture.ndim == 2:
        low, high = row.color_range()
        ax.imshow(picture, cmap="viridis", vmin=low, vmax=high, aspect="auto")
    else:
        ax.imshow(picture, aspect="auto")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
