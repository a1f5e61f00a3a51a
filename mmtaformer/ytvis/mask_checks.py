"""Checks of masks in plain Python and NumPy, before any C code sees them.

pycocotools trusts what it is given: a run that is missing lets it read foreign memory,
compute for ever or return another mask, and a polygon far away takes all memory.
"""

import math
from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np

from .checks import is_integer, is_integer_type, show

_MAX_OUTLINE = 2**24  # pixels: pycocotools keeps every point of an outline
# Compressed run lengths are texts. Every character stands for six bits: the number's
# lowest five that are left, and "goes on". The last five bits of a number are signed.
_FIRST_CHARACTER = 48
_GOES_ON, _BITS = 32, 5
_MAX_CHARACTERS = 6  # of one number: 30 bits, more than checks.MAX_PIXELS needs
_SIGNED = (np.arange(_GOES_ON) ^ 16) - 16  # value of the last five bits
_NO_RUNS = (
    "the 'counts' of the mask hold more than whole numbers from 0, or one larger than "
    "any image has pixels; correct them"
)
_NO_TEXT = "the 'counts' of the mask are no compressed run lengths, or are cut off"


class BrokenMask(Exception):
    """What is wrong with a mask.

    Args:
        problem: The rest of a sentence that begins with the place of the mask.
        index: Which of several masks it is.
    """

    def __init__(self, problem: str, index: int = 0) -> None:
        super().__init__(problem)
        self.index = index


def check_mask_size(size: Any, height: int, width: int) -> None:
    """Check that the size of a mask is the one of its image.

    Args:
        size: What should be [height, width].
        height: Height of the image in pixels.
        width: Width of the image in pixels.

    Raises:
        BrokenMask: If it is not.
    """
    if not isinstance(size, list | tuple) or not all(map(is_integer, size)):
        raise BrokenMask("the 'size' of the mask is not [height, width]; correct it")
    if tuple(size) != (height, width):
        raise BrokenMask(
            f"the mask has height and width {show(tuple(size))}, but the image has "
            f"({height}, {width}); give masks at the size of the image"
        )


def check_counts(counts: Any, pixels: int) -> np.ndarray:
    """Check run lengths that are not compressed.

    Args:
        counts: What should be a list of run lengths, or an array of int64.
        pixels: Sum that they must have.

    Returns:
        (n,) int64, the run lengths.

    Raises:
        BrokenMask: If they are no whole numbers from 0, or have another sum.
    """
    if isinstance(counts, np.ndarray):
        return _check_runs(counts, pixels)
    if not isinstance(counts, list | tuple) or not counts:
        raise BrokenMask(
            "the 'counts' of the mask are neither a text nor a list of run lengths; "
            "correct them"
        )
    try:
        runs = np.frombuffer(array("q", counts), np.int64)
    except (TypeError, OverflowError):
        raise BrokenMask(_NO_RUNS) from None
    # An array takes true and false for 1 and 0.
    suspects = set(map(type, counts)) if runs.min() <= 1 else ()
    if not all(map(is_integer_type, suspects)):
        raise BrokenMask(_NO_RUNS)
    return _check_runs(runs, pixels)


def _check_runs(runs: np.ndarray, pixels: int) -> np.ndarray:
    if runs.min() < 0:
        raise BrokenMask(_NO_RUNS)
    # No sum of runs that fit into the image overflows.
    total = runs.sum() if runs.max() <= pixels else sum(runs.tolist())
    _check_sum(int(total), pixels)
    return runs


def check_texts(texts: Sequence[str], pixels: int) -> list[int]:
    """Check compressed run lengths, all of an instance at once, which is fast.

    Args:
        texts: The compressed run lengths of n masks.
        pixels: Sum that each must have.

    Returns:
        Indices of the masks in which a run is empty that is not the first one.

    Raises:
        BrokenMask: If a text is no run lengths, is cut off, or has another sum.
    """
    if not texts:
        return []
    numbers, counts = _read_numbers(texts)
    heads = numbers[np.cumsum(counts) - counts]
    tails, rows, is_padded = _undo_differences(numbers, counts)
    for part, owners in ((heads, np.arange(len(texts))), (tails, rows)):
        if part.size and part.min() < 0:
            raise BrokenMask(f"{_NO_TEXT}; correct them", owners[_row_of_minimum(part)])
    sums = np.concatenate([[0], np.cumsum(tails[:, 0] + tails[:, 1])])
    ends = np.cumsum(counts // 2)
    totals = heads + sums[ends] - sums[ends - counts // 2] - is_padded
    for index in np.flatnonzero(totals != pixels).tolist():
        _check_sum(int(totals[index]), pixels, index)
    if not tails.size or tails.min() > 0:
        return []
    return np.unique(rows[(tails == 0).any(axis=1)]).tolist()


def read_texts(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Read compressed run lengths that were checked.

    Args:
        texts: The compressed run lengths of n masks.

    Returns:
        (r,) int64, the run lengths of all masks in a row, and (n,) int64, how many of
        them each mask has.
    """
    if not texts:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    numbers, counts = _read_numbers(texts)
    tails, _, is_padded = _undo_differences(numbers, counts)
    is_tail = np.ones(len(numbers), bool)
    is_tail[np.cumsum(counts) - counts] = False
    is_run = np.ones(tails.size, bool)
    is_run[2 * np.cumsum(counts // 2)[is_padded] - 1] = False
    numbers[is_tail] = tails.reshape(-1)[is_run]
    return numbers, counts


def check_polygons(polygons: Sequence[Any], height: int, width: int) -> None:
    """Check that polygons can be drawn.

    Args:
        polygons: What should be lists of x, y pairs in pixels.
        height: Height of the image in pixels.
        width: Width of the image in pixels.

    Raises:
        BrokenMask: If a polygon is no list of pairs, has fewer than three points or an
            outline of absurd length, or lies more than an image's size outside of the
            image.
    """
    for polygon in polygons:
        if not _is_polygon(polygon):
            raise BrokenMask(
                "a polygon is not a list of x, y pairs; give polygons as "
                "[[x1, y1, x2, y2, ...], ...]"
            )
        if len(polygon) < 6:
            raise BrokenMask(
                f"a polygon has {len(polygon) // 2} points, and so no area; give at "
                "least three, or remove the polygon"
            )
        if not (_is_near(polygon[::2], width) and _is_near(polygon[1::2], height)):
            raise BrokenMask(
                f"a polygon lies far outside of the image of {width} x {height} "
                "pixels; correct it"
            )
        if _is_too_long(polygon, height, width):
            raise BrokenMask(
                f"a polygon has a longer outline than {width} x {height} pixels can "
                "hold; correct it"
            )


def _is_polygon(polygon: Any) -> bool:
    """Whether it is pairs of finite numbers."""
    if not isinstance(polygon, list | tuple) or len(polygon) % 2:
        return False
    if not {int, float} >= set(map(type, polygon)):
        return False
    try:
        return math.isfinite(sum(polygon))
    except OverflowError:  # an integer larger than any float
        return False


def _is_near(coordinates: Sequence[float], side: int) -> bool:
    return -side <= min(coordinates) and max(coordinates) <= 2 * side


def _is_too_long(polygon: Sequence[float], height: int, width: int) -> bool:
    longest = min(4 * (height + 1) * (width + 1), _MAX_OUTLINE)
    if len(polygon) * 1.5 * max(height, width) <= longest:
        return False  # as no side can be longer than what is near
    points = np.array(polygon, dtype=np.float64).reshape(-1, 2)
    sides = np.abs(points - np.roll(points, 1, axis=0)).max(axis=1)
    return bool(sides.sum() > longest)


def _check_sum(total: int, pixels: int, index: int = 0) -> None:
    if total != pixels:
        raise BrokenMask(
            f"the counts of the mask add up to {show(total)}, but the image has "
            f"{pixels} pixels; the mask is cut off, or of another image: correct it",
            index,
        )


def _read_numbers(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of all texts in a row, and how many of them each text has."""
    lengths = np.array(list(map(len, texts)))
    if not lengths.all():
        raise BrokenMask(f"{_NO_TEXT}; correct them", int(lengths.argmin()))
    ends = np.cumsum(lengths) - 1
    encoded = (t.encode() if t.isascii() else bytes(len(t)) for t in texts)
    bits = np.frombuffer(b"".join(encoded), np.uint8) - np.uint8(_FIRST_CHARACTER)
    if bits.max() >= 2 * _GOES_ON or bits[ends].max() >= _GOES_ON:
        bad = bits >= 2 * _GOES_ON
        bad[ends] |= bits[ends] >= _GOES_ON
        index = int(np.searchsorted(ends, bad.argmax()))
        raise BrokenMask(f"{_NO_TEXT}; correct them", index)
    stops = np.flatnonzero(bits < _GOES_ON)
    sizes = np.diff(stops, prepend=-1)
    if sizes.max() > _MAX_CHARACTERS:
        index = int(np.searchsorted(ends, stops[sizes.argmax()]))
        raise BrokenMask(f"{_NO_TEXT}; correct them", index)
    numbers = _SIGNED[bits[stops]]
    # Few numbers have more than one character.
    longer = np.flatnonzero(sizes > 1)
    numbers[longer] *= (1 << _BITS) ** (sizes[longer] - 1)
    for place in range(sizes.max() - 1):
        longer = longer[sizes[longer] > place + 1]
        characters = bits[stops[longer] - sizes[longer] + 1 + place]
        low = (characters & (_GOES_ON - 1)).astype(np.int64)
        numbers[longer] += low << (_BITS * place)
    return numbers, np.diff(np.searchsorted(stops, ends), prepend=-1)


def _undo_differences(
    numbers: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Run lengths of numbers that are differences to the last run but one.

    The first run of a text is its first number; the second and the third begin two
    chains of differences, which are the columns here.

    Args:
        numbers: (n,) of all texts.
        counts: (t,) how many of them each text has.

    Returns:
        (r, 2) all run lengths but the first ones, a 1 in the last place of a text where
        none is left; (r,) the text of each row; (t,) whether a text has such a place.
    """
    num_rows = counts // 2
    ends = np.cumsum(num_rows)
    is_padded = counts % 2 == 0
    is_tail = np.ones(len(numbers), bool)
    is_tail[np.cumsum(counts) - counts] = False
    is_number = np.ones(2 * ends[-1], bool)
    is_number[2 * ends[is_padded] - 1] = False
    differences = np.zeros(2 * ends[-1], np.int64)
    differences[is_number] = numbers[is_tail]
    chains = np.zeros((ends[-1] + 1, 2), np.int64)
    np.cumsum(differences.reshape(-1, 2), axis=0, out=chains[1:])
    rows = np.repeat(np.arange(len(counts)), num_rows)
    runs = chains[1:] - chains[ends - num_rows][rows]
    runs.reshape(-1)[~is_number] = 1
    return runs, rows, is_padded


def _row_of_minimum(runs: np.ndarray) -> int:
    return int(runs.argmin()) // (runs.size // len(runs))
