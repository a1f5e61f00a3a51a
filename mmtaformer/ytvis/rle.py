"""The one codec of masks: polygons, run lengths and arrays.

A run-length encoding (RLE) is a dict with ``size`` [height, width] and ``counts``, the
lengths of alternating runs of background and object down the columns. Files hold them
as a list of integers, or compressed as a text; here they are always compressed.

What comes from a file goes through :func:`to_rle` or :func:`to_rles` first.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

from mmtaformer.utils.errors import DataError

from .checks import is_image_size
from .mask_checks import (
    BrokenMask,
    check_counts,
    check_mask_size,
    check_polygons,
    check_texts,
    read_texts,
)

Rle = dict[str, Any]


class CheckedRle(dict[str, Any]):
    """A compressed RLE of its ``size`` that was checked when its file was read."""


def compress_runs(entry: dict[str, Any]) -> dict[str, Any]:
    """Compress a mask while its file is read: as integers it is thirty times as large.

    Made for ``json.loads(object_hook=...)``.

    Args:
        entry: Any object of the file.

    Returns:
        A :class:`CheckedRle` for an RLE whose ``counts`` are a list or an array of run
        lengths.
        Else the entry as it is, broken masks too: whoever knows where they stand
        reports them, see :func:`to_rles`.
    """
    size: Any = entry.get("size")
    is_list = isinstance(entry.get("counts"), list | np.ndarray)
    if not is_list or not is_image_size(size):
        return entry
    try:
        return CheckedRle(_compress(entry, *size) or entry)
    except BrokenMask:
        return entry


def to_rles(
    masks: Sequence[Any],
    height: int,
    width: int,
    where: Callable[[int], str] = "frame {}".format,
) -> list[Rle | None]:
    """Check the masks of one instance and compress them.

    Args:
        masks: One mask per frame: polygons ``[[x1, y1, x2, y2, ...], ...]`` in pixels,
            an RLE, compressed or not, or None. No polygon at all is no mask.
        height: Height of the video in pixels.
        width: Width of the video in pixels.
        where: How to call the mask of a frame in a message.

    Returns:
        One compressed RLE per frame, whose ``counts`` are a text; None where there is
        no mask.

    Raises:
        DataError: If a mask is broken or has another size than the video.
    """
    rles: list[Rle | None] = []
    frames: list[int] = []  # whose masks are compressed: these are checked together
    texts: list[str] = []
    try:
        for mask in masks:
            counts = mask.get("counts") if isinstance(mask, Mapping) else None
            if isinstance(mask, CheckedRle):
                check_mask_size(mask["size"], height, width)
                # pycocotools takes nothing but plain dicts.
                rles.append(dict(mask))
            elif isinstance(counts, str | bytes):
                check_mask_size(mask.get("size"), height, width)
                frames.append(len(rles))
                texts.append(_as_text(counts))
                rles.append({"size": [height, width], "counts": texts[-1]})
            else:
                rles.append(_compress(mask, height, width))
    except BrokenMask as error:
        raise DataError(f"{where(len(rles))}: {error}.") from error
    try:
        for number in check_texts(texts, height * width):
            rles[frames[number]] = _without_empty_runs(rles[frames[number]])
    except BrokenMask as error:
        raise DataError(f"{where(frames[error.index])}: {error}.") from error
    return rles


def to_rle(mask: Any, height: int, width: int, where: str = "a mask") -> Rle | None:
    """Check one mask and compress it.

    Args:
        mask: Polygons, an RLE, or None; see :func:`to_rles`.
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        where: How to call the mask in a message.

    Returns:
        The compressed RLE, or None if there is no mask.

    Raises:
        DataError: If the mask is broken or has another size.
    """
    return to_rles([mask], height, width, lambda _: where)[0]


def check_mask(mask: Any, height: int, width: int, where: str = "a mask") -> None:
    """Check one mask as :func:`to_rle` does, without drawing polygons.

    Args:
        mask: Polygons, an RLE, or None.
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        where: How to call the mask in a message.

    Raises:
        DataError: If the mask is broken or has another size.
    """
    if not isinstance(mask, list):
        to_rle(mask, height, width, where)
        return
    try:
        check_polygons(mask, height, width)
    except BrokenMask as error:
        raise DataError(f"{where}: {error}.") from error


def encode_masks(masks: np.ndarray) -> list[Rle]:
    """Compress masks of one size.

    Args:
        masks: (n, H, W), bool or 0 and 1.

    Returns:
        n compressed RLEs.
    """
    stacked = np.asfortranarray(masks.astype(np.uint8).transpose(1, 2, 0))
    return [as_json(rle) for rle in mask_utils.encode(stacked)]


def run_lengths(mask: np.ndarray) -> Rle:
    """Encode a mask without compressing it, as the published YouTube-VIS files do.

    Args:
        mask: (H, W) bool.

    Returns:
        The RLE with ``counts`` as a list of integers.
    """
    pixels = np.concatenate([[False], mask.ravel(order="F")])
    changes = np.flatnonzero(pixels[1:] != pixels[:-1])
    counts = np.diff(np.concatenate([[0], changes, [mask.size]]))
    return {"counts": counts.tolist(), "size": list(mask.shape)}


def read_runs(rles: Sequence[Rle]) -> tuple[np.ndarray, np.ndarray]:
    """Run lengths of compressed RLEs.

    Args:
        rles: The RLEs of n masks, checked.

    Returns:
        (r,) int64, the run lengths of all masks in a row, and (n,) int64, how many of
        them each mask has.
    """
    return read_texts([_as_text(rle["counts"]) for rle in rles])


def as_json(rle: Mapping[str, Any]) -> Rle:
    """A compressed RLE in types that JSON can store.

    Args:
        rle: The RLE. pycocotools gives its ``counts`` as bytes, and mmdet ignores
            such masks.
    """
    size = [int(side) for side in rle["size"]]
    return {"size": size, "counts": _as_text(rle["counts"])}


def decode(rle: Rle) -> np.ndarray:
    """Decode a compressed RLE.

    Args:
        rle: The RLE, checked.

    Returns:
        (H, W) uint8, 1 inside the mask.
    """
    return mask_utils.decode(rle)


def area(rle: Rle | None) -> int:
    """Number of pixels of a compressed RLE; 0 for None."""
    return 0 if rle is None else int(mask_utils.area(rle))


def bounding_box(rle: Rle) -> list[float]:
    """Box (x, y, width, height) in pixels around a compressed RLE."""
    return mask_utils.toBbox(rle).tolist()


def overlap(first: Rle | None, second: Rle | None) -> tuple[int, int]:
    """Pixels of the intersection and of the union of two compressed RLEs.

    Args:
        first: One mask; None is an empty one.
        second: Another mask of the same size.
    """
    common = 0
    if first is not None and second is not None:
        common = area(mask_utils.merge([first, second], True))
    return common, area(first) + area(second) - common


def _as_text(counts: str | bytes) -> str:
    return counts if isinstance(counts, str) else counts.decode("latin-1")


def _compress(mask: Any, height: int, width: int) -> Rle | None:
    """Check a mask that is not compressed, and compress it."""
    if mask is None or (isinstance(mask, list) and not mask):
        return None
    if isinstance(mask, list):
        check_polygons(mask, height, width)
        return as_json(mask_utils.merge(mask_utils.frPyObjects(mask, height, width)))
    if not isinstance(mask, Mapping) or not {"size", "counts"} <= mask.keys():
        raise BrokenMask(
            "the mask is neither null, nor polygons, nor an RLE with 'size' and "
            "'counts'; correct it"
        )
    check_mask_size(mask["size"], height, width)
    counts = check_counts(mask["counts"], height * width)
    runs = {"size": [height, width], "counts": counts}
    rle = as_json(mask_utils.frPyObjects(runs, height, width))
    return rle if counts[1:].all() else _without_empty_runs(rle)


def _without_empty_runs(rle: Rle | None) -> Rle:
    """The same mask: empty runs of two masks in one place stop pycocotools early."""
    return as_json(mask_utils.encode(np.asfortranarray(mask_utils.decode(rle))))
