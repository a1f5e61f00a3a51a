"""Checks of single values, for files that anybody may have written."""

import math
import reprlib
from collections.abc import Container, Mapping
from numbers import Integral, Real
from typing import Any

from mmtaformer.utils.errors import DataError

MAX_PIXELS = 2**27
"""Largest image that is taken, in pixels; a frame of 16K video has fewer."""


def is_integer(value: Any) -> bool:
    """Whether a value is a whole number; neither true nor 1.0 is one."""
    return is_integer_type(type(value))


def is_integer_type(kind: type) -> bool:
    """Whether values of a type are whole numbers."""
    return kind is int or (issubclass(kind, Integral) and kind is not bool)


def is_id(value: Any) -> bool:
    """Whether a value is an id: a whole number of at most 64 bits."""
    return is_integer(value) and -(2**63) <= value < 2**63


def is_finite(value: Any) -> bool:
    """Whether a value is a number, and neither NaN nor too large for a float."""
    if type(value) is float:
        return math.isfinite(value)
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def is_text(value: Any) -> bool:
    """Whether a value is a text that every file system and terminal can take."""
    if not isinstance(value, str) or any(ord(c) < 32 or ord(c) == 127 for c in value):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def is_box(value: Any) -> bool:
    """Whether a value is a box [x, y, width, height] of finite numbers."""
    if not isinstance(value, list) or len(value) != 4:
        return False
    return all(map(is_finite, value)) and value[2] >= 0 and value[3] >= 0


def is_image_size(value: Any) -> bool:
    """Whether a value is the two sides of an image, in pixels, that may be taken."""
    if not isinstance(value, list) or len(value) != 2:
        return False
    whole = all(is_integer(side) and side > 0 for side in value)
    return whole and value[0] * value[1] <= MAX_PIXELS


def show(value: Any) -> str:
    """A value in a message: short, and on one line."""
    try:
        return reprlib.repr(value)
    except ValueError:  # an integer of more than 4300 digits
        return f"a number of type {type(value).__name__}"


def check_reference(
    entry: Mapping[str, Any], key: str, known: Container[int], where: str, advice: str
) -> None:
    """Check that an entry names an id that exists.

    Args:
        entry: An annotation or a result.
        key: Its key that holds the id.
        known: The ids that exist.
        where: How to call the entry in a message.
        advice: What to do.

    Raises:
        DataError: If it does not.
    """
    value = entry.get(key)
    if not is_id(value) or value not in known:
        raise DataError(f"{where} has {key} {show(value)}, which is not in {advice}")


def check_size(entry: Mapping[str, Any], where: str) -> None:
    """Check the ``width`` and ``height`` of a video or an image.

    Args:
        entry: The video or image.
        where: How to call it in a message.

    Raises:
        DataError: If they are not whole numbers of pixels, or the image is larger than
            any camera's.
    """
    sides: list[Any] = [entry.get("width"), entry.get("height")]
    if not is_image_size(sides):
        raise DataError(
            f"{where} has width and height {show(tuple(sides))}; give whole numbers "
            f"of pixels, {MAX_PIXELS} together at most."
        )


def check_crowd(entry: Mapping[str, Any], where: str) -> None:
    """Check the ``iscrowd`` of an annotation.

    Args:
        entry: The annotation.
        where: How to call it in a message.

    Raises:
        DataError: If it is neither 0 nor 1.
    """
    crowd = entry.get("iscrowd", 0)
    if not is_integer(crowd) or crowd not in (0, 1):
        raise DataError(
            f"{where} has 'iscrowd' {show(crowd)}; give 0 or 1, or leave it out."
        )


def check_length(
    entry: Mapping[str, Any], key: str, video: Mapping[str, Any], where: str
) -> None:
    """Check that an entry has a list with one item per frame of its video.

    Args:
        entry: An annotation or a result.
        key: The key of the list.
        video: Its video.
        where: How to call the entry in a message.

    Raises:
        DataError: If it has not.
    """
    length = len(video["file_names"])
    per_frame = entry.get(key)
    if not isinstance(per_frame, list) or len(per_frame) != length:
        found = len(per_frame) if isinstance(per_frame, list) else "no"
        raise DataError(
            f"{where} has {found} '{key}', but video {video['id']} has {length} "
            "frames; give one per frame, null where the instance is absent."
        )
