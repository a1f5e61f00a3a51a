"""Checks of masks in plain Python and NumPy, before any C code sees them.

pycocotools trusts what it is given: a run that is missing lets it read foreign memory,
compute for ever or return another mask, and a polygon far away takes all memory.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mmtaformer.utils.errors import DataError

from .checks import is_integer, is_integer_type, show

_MAX_OUTLINE = 2**24  # pixels: pycocotools keeps every point of an outline
# Compressed run lengths are texts. Every character stands for six bits: the number's
# lowest five that are left, and "goes on". The last five bits of a number are signed.
_FIRST_CHARACTER, _LAST_CHARACTER = 48, 111
_GOES_ON, _SIGN = 32, 16
_MAX_CHARACTERS = 6  # of one number: 30 bits, more than checks.MAX_PIXELS needs


def check_mask_size(size: Any, height: int, width: int, where: str) -> None:
    """Check that the size of a mask is the one of its image.

    Args:
        size: What should be [height, width].
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        where: How to call the mask in a message.

    Raises:
        DataError: If it is not.
    """
    if not isinstance(size, list | tuple) or not all(map(is_integer, size)):
        raise DataError(
            f"{where}: the 'size' of the mask is not [height, width]; correct the file."
        )
    if tuple(size) != (height, width):
        raise DataError(
            f"{where}: the mask has height and width {show(tuple(size))}, but the "
            f"image has ({height}, {width}); give masks at the size of the image."
        )


def check_counts(counts: Sequence[Any], pixels: int, where: str) -> None:
    """Check run lengths that are not compressed.

    Args:
        counts: What should be a list of run lengths.
        pixels: Sum that they must have.
        where: How to call the mask in a message.

    Raises:
        DataError: If they are no whole numbers from 0, or have another sum.
    """
    if not isinstance(counts, list | tuple) or not counts:
        raise DataError(
            f"{where}: the 'counts' of the mask are neither a text nor a list of run "
            "lengths; correct the file."
        )
    if not all(map(is_integer_type, set(map(type, counts)))) or min(counts) < 0:
        raise DataError(
            f"{where}: the 'counts' of the mask hold more than whole numbers from 0; "
            "correct the file."
        )
    total = sum(counts)
    if total != pixels:
        raise _wrong_sum(total, pixels, where)


def check_texts(
    texts: Sequence[str], pixels: int, where: Callable[[int], str]
) -> list[int]:
    """Check compressed run lengths, all of an instance at once, which is fast.

    Args:
        texts: The compressed run lengths of n masks.
        pixels: Sum that each must have.
        where: How to call the mask of an index in a message.

    Returns:
        Indices of the masks in which a run is empty that is not the first one.

    Raises:
        DataError: If a text is no run lengths, is cut off, or has another sum.
    """
    if not texts:
        return []
    lengths = np.array([len(text) for text in texts])
    if lengths.min() == 0:
        raise _bad_text(where(int(lengths.argmin())))
    numbers, first = _read_numbers(texts, lengths, where)
    owner = np.repeat(np.arange(len(first)), np.diff(first, append=len(numbers)))
    place = np.arange(len(numbers)) - first[owner]
    runs = _undo_differences(numbers, first, owner, place)
    if runs.min() < 0:
        raise _bad_text(where(int(owner[runs.argmin()])))
    for index, total in enumerate(np.add.reduceat(runs, first).tolist()):
        if total != pixels:
            raise _wrong_sum(total, pixels, where(index))
    return np.unique(owner[(runs == 0) & (place > 0)]).tolist()


def check_polygons(
    polygons: Sequence[Any], height: int, width: int, where: str
) -> None:
    """Check that polygons can be drawn.

    Args:
        polygons: What should be lists of x, y pairs in pixels.
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        where: How to call the mask in a message.

    Raises:
        DataError: If a polygon is no list of pairs, has fewer than three points or an
            outline of absurd length, or lies more than an image's size outside of the
            image.
    """
    for polygon in polygons:
        if not _is_polygon(polygon):
            raise DataError(
                f"{where}: a polygon is not a list of x, y pairs; give polygons as "
                "[[x1, y1, x2, y2, ...], ...]."
            )
        if len(polygon) < 6:
            raise DataError(
                f"{where}: a polygon has {len(polygon) // 2} points, and so no area; "
                "give at least three, or remove the polygon."
            )
        if not (_is_near(polygon[::2], width) and _is_near(polygon[1::2], height)):
            raise DataError(
                f"{where}: a polygon lies far outside of the image of {width} x "
                f"{height} pixels; correct the file."
            )
        if _is_too_long(polygon, height, width):
            raise DataError(
                f"{where}: a polygon has a longer outline than {width} x {height} "
                "pixels can hold; correct the file."
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


def _wrong_sum(total: int, pixels: int, where: str) -> DataError:
    return DataError(
        f"{where}: the counts of the mask add up to {show(total)}, but the image has "
        f"{pixels} pixels; the mask is cut off, or of another image: correct the file."
    )


def _bad_text(where: str) -> DataError:
    return DataError(
        f"{where}: the 'counts' of the mask are no compressed run lengths, or are cut "
        "off; correct the file."
    )


def _read_numbers(
    texts: Sequence[str], lengths: np.ndarray, where: Callable[[int], str]
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of all texts in a row, and the index of each text's first one."""
    encoded = (t.encode() if t.isascii() else bytes(len(t)) for t in texts)
    characters = np.frombuffer(b"".join(encoded), np.uint8)
    text_ends = np.cumsum(lengths) - 1

    def text_of(index: int) -> str:
        return where(int(np.searchsorted(text_ends, index)))

    bad = (characters < _FIRST_CHARACTER) | (characters > _LAST_CHARACTER)
    bad[text_ends] |= characters[text_ends] >= _FIRST_CHARACTER + _GOES_ON
    if bad.any():
        raise _bad_text(text_of(int(bad.argmax())))
    bits = characters.astype(np.int32) - _FIRST_CHARACTER
    stops = np.flatnonzero(bits < _GOES_ON)
    starts = np.concatenate([[0], stops[:-1] + 1])
    sizes = stops - starts + 1
    if sizes.max() > _MAX_CHARACTERS:
        raise _bad_text(text_of(int(starts[sizes.argmax()])))
    place = np.arange(len(bits), dtype=np.int32) - np.repeat(starts, sizes)
    numbers = np.add.reduceat((bits & (_GOES_ON - 1)) << (5 * place), starts)
    numbers = numbers - np.where(bits[stops] & _SIGN, 1 << (5 * sizes), 0)
    first = np.concatenate([[0], np.searchsorted(stops, text_ends)[:-1] + 1])
    return numbers.astype(np.int64), first


def _undo_differences(
    numbers: np.ndarray, first: np.ndarray, owner: np.ndarray, place: np.ndarray
) -> np.ndarray:
    """Run lengths of numbers that, from the fourth on, differ from the last but one.

    Args:
        numbers: (n,) of all texts.
        first: Index of each text's first number.
        owner: (n,) index of each number's text.
        place: (n,) index of each number in its text.
    """
    runs = numbers.copy()
    for chain in (place % 2 == 1, (place % 2 == 0) & (place > 0)):
        summands = np.where(chain, numbers, 0)
        sums = np.cumsum(summands)
        before = sums[first] - summands[first]
        runs[chain] = (sums - before[owner])[chain]
    return runs
