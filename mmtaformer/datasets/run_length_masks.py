"""Masks of a frame that stay run lengths until somebody needs their pixels."""

from collections.abc import Sequence
from functools import cached_property

import mmcv
import numpy as np
from mmdet.structures.mask import BitmapMasks

from mmtaformer.ytvis.rle import Rle, read_runs


class RunLengthMasks(BitmapMasks):
    """mmdet's ``BitmapMasks`` as run lengths.

    Making a frame smaller comes first in a pipeline: here masks are resized without
    being decoded at full size. Cropping, flipping and rotating decode them. Masks that
    are still run lengths at the end are small on their way from a worker process.

    Args:
        runs: (r,) run lengths down the columns, of all masks in a row.
        counts: (n,) how many of them each mask has.
        height: Height of the masks in pixels.
        width: Their width in pixels.
    """

    def __init__(
        self, runs: np.ndarray, counts: np.ndarray, height: int, width: int
    ) -> None:
        self.runs = runs
        self.counts = counts
        self.height = height
        self.width = width

    @classmethod
    def from_rles(
        cls, rles: Sequence[Rle], height: int, width: int
    ) -> "RunLengthMasks":
        """Take compressed RLEs, which were checked, of the given size."""
        return cls(*read_runs(rles), height, width)

    @cached_property
    def masks(self) -> np.ndarray:
        """(n, H, W) uint8."""
        starts = np.cumsum(self.counts) - self.counts
        place = np.arange(len(self.runs)) - np.repeat(starts, self.counts)
        columns = np.repeat((place % 2).astype(np.uint8), self.runs)
        stack = columns.reshape(len(self), self.width, self.height)
        return np.ascontiguousarray(stack.transpose(0, 2, 1))

    def __len__(self) -> int:
        """Number of masks."""
        return len(self.counts)

    def __getitem__(self, index: int | np.ndarray) -> "RunLengthMasks":
        """Choose masks, by a number, an array of numbers or of bool."""
        chosen = np.arange(len(self))[index].reshape(-1)
        parts = np.split(self.runs, np.cumsum(self.counts)[:-1])
        runs = np.concatenate([self.runs[:0], *(parts[i] for i in chosen)])
        return RunLengthMasks(runs, self.counts[chosen], self.height, self.width)

    def rescale(
        self, scale: float | tuple[int, int], interpolation: str = "nearest"
    ) -> BitmapMasks:
        """Resize them, keeping the ratio of the sides; see ``BitmapMasks.rescale``.

        Args:
            scale: A factor, or the largest (long, short) sides in any order.
            interpolation: One of OpenCV's.
        """
        width, height = mmcv.rescale_size((self.width, self.height), scale)
        return self.resize((height, width), interpolation)

    def resize(
        self, out_shape: tuple[int, int], interpolation: str = "nearest"
    ) -> BitmapMasks:
        """Resize them; see ``BitmapMasks.resize``.

        Args:
            out_shape: (height, width) in pixels.
            interpolation: One of OpenCV's.
        """
        height, width = out_shape
        if interpolation != "nearest" or width > self.width:
            return super().resize(out_shape, interpolation)
        rows, columns = _sources(height, self.height), _sources(width, self.width)
        # Where a run ends in the stack of all masks: mask and column, and row.
        ends, row = np.divmod(np.cumsum(self.runs), self.height)
        mask, column = np.divmod(ends, self.width)
        # The first pixel that is kept from there on.
        next_row = np.searchsorted(rows, np.arange(self.height))
        next_column = np.searchsorted(columns, np.arange(self.width))
        is_kept = np.isin(np.arange(self.width), columns)
        kept_row = np.where(is_kept[column], next_row[row], 0)
        new_ends = (mask * width + next_column[column]) * height + kept_row
        runs = np.diff(new_ends, prepend=0)
        return RunLengthMasks(runs, self.counts, height, width)


def _sources(new: int, old: int) -> np.ndarray:
    """(new,) rows or columns of ``old`` that OpenCV takes for the nearest ones."""
    step = 1.0 / (new / old)
    return np.minimum((np.arange(new) * step).astype(np.int64), old - 1)
