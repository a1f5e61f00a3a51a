"""Annotations and results read in little time and memory.

Most of such a file is run lengths. As Python integers they are thirty times as large as
the compressed mask, and take most of the time. Here those of one mask after the other
go from the text of the file through NumPy to the compressed mask.
"""

from typing import Any

import msgspec
import numpy as np
from msgspec import Raw

from .rle import CheckedRle, compress_runs

_ANYTHING = msgspec.json.Decoder()
_OBJECT = msgspec.json.Decoder(dict[str, Raw])
_ENTRIES = msgspec.json.Decoder(list[dict[str, Raw]])
_MASKS = msgspec.json.Decoder(list[dict[str, Raw] | list | None])
_IN_RUNS = b"0123456789, \t\r\n"


def parse_lean(text: bytes) -> Any:
    """Parse a file of annotations or results.

    Args:
        text: JSON, a list of entries or an object with a list of ``annotations``.

    Returns:
        What :func:`json.loads` returns, with :func:`compress_runs` done to the masks
        of ``segmentations``.

    Raises:
        ValueError: If it is not JSON, or needs what msgspec lacks, such as NaN; only
            :mod:`json` tells one from the other.
        RecursionError: If it is nested too deeply.
    """
    try:
        if text.lstrip()[:1] == b"[":
            return _parse_entries(text)
        return {
            key: _parse_entries(part) if key == "annotations" else _parse(part)
            for key, part in _OBJECT.decode(text).items()
        }
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error


def _parse(part: bytes | Raw) -> Any:
    """Parse what holds no masks, or none of run lengths."""
    return _ANYTHING.decode(part)


def _parse_entries(part: bytes | Raw) -> Any:
    try:
        entries = _ENTRIES.decode(part)
    except msgspec.ValidationError:  # something else stands there
        return _parse(part)
    return [
        {
            key: _parse_masks(value) if key == "segmentations" else _parse(value)
            for key, value in entry.items()
        }
        for entry in entries
    ]


def _parse_masks(part: Raw) -> Any:
    try:
        masks = _MASKS.decode(part)
    except msgspec.ValidationError:
        return _parse(part)
    return [_parse_mask(mask) if isinstance(mask, dict) else mask for mask in masks]


def _parse_mask(values: dict[str, Raw]) -> Any:
    runs = _read_runs(bytes(values.get("counts", b"")))
    if runs is not None:
        others = {key: _parse(values[key]) for key in values if key != "counts"}
        mask = compress_runs({**others, "counts": runs})
        if isinstance(mask, CheckedRle):
            return mask
    # Broken ones too: whoever knows where they stand reports them.
    return {key: _parse(value) for key, value in values.items()}


def _read_runs(text: bytes) -> np.ndarray | None:
    """Read a list of whole numbers from 0 on, or None if the JSON is another one."""
    inner = text[1:-1].strip()
    if not text.startswith(b"[") or not inner or inner.translate(None, _IN_RUNS):
        return None
    # What is too large for 64 bits becomes the largest number, whose sum fits no image.
    return np.fromstring(inner, np.int64, sep=",")
