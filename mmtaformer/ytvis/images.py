"""Decoding of images that may be damaged, turned, or larger than they should be."""

import io
import math
from dataclasses import dataclass
from typing import BinaryIO

import cv2
import numpy as np
import simplejpeg
from PIL import Image

from mmtaformer.utils.errors import DataError

_EXIF_ORIENTATION = 0x0112
_QUARTER_TURNS = (5, 6, 7, 8)
_PNG_START, _PNG_END = b"\x89PNG", b"IEND"


@dataclass(frozen=True)
class ImageHeader:
    """What the first bytes of an image say.

    Attributes:
        stored_size: (width, height) in pixels, as stored.
        orientation: EXIF orientation, 1 to 8; 1 is upright.
        is_plain_jpeg: Whether it is a JPEG in grey or in the usual colours.
    """

    stored_size: tuple[int, int]
    orientation: int
    is_plain_jpeg: bool

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels, as displayed."""
        width, height = self.stored_size
        turned = self.orientation in _QUARTER_TURNS
        return (height, width) if turned else (width, height)


def read_header(file: str | BinaryIO, name: str) -> ImageHeader:
    """Read the header of an image; no pixel is decoded.

    Args:
        file: Path of the image, or the open file.
        name: How to call the image in a message.

    Raises:
        DataError: If it is not an image.
    """
    try:
        with Image.open(file) as image:
            orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
            is_plain_jpeg = image.format == "JPEG" and image.mode in ("L", "RGB")
            known = orientation if orientation in range(1, 9) else 1
            return ImageHeader(image.size, known, is_plain_jpeg)
    except Image.DecompressionBombError as error:
        raise DataError(
            f"{name} has far more pixels by its header than any frame; scale it down."
        ) from error
    except Exception as error:  # Pillow has a dozen kinds for broken files
        raise DataError(
            f"{name} is not a readable image; extract or download it again."
        ) from error


def decode_image(
    content: bytes,
    name: str,
    size: tuple[int, int] | None = None,
    allow_damaged: bool = False,
    target_scale: tuple[int, int] | None = None,
) -> np.ndarray:
    """Decode an image, turned upright.

    The header is looked at first, so that a small file that unpacks to gigabytes is
    refused before it does. OpenCV fills up with grey where a JPEG is damaged;
    simplejpeg returns the same pixels in less time, but says so.

    Args:
        content: The bytes of the file.
        name: How to call the image in a message.
        size: (width, height) in pixels that it must have, if known.
        allow_damaged: Whether to take what can be decoded of a damaged JPEG.
        target_scale: Longest (long, short) sides in pixels to which the image will be
            resized. A JPEG is decoded at the smallest part of its size, of a half at
            most, that is still as large; that takes less time.

    Returns:
        (H, W, 3) uint8, BGR.

    Raises:
        DataError: If it is not an image, has another size, is cut off or damaged.
    """
    header = read_header(io.BytesIO(content), name)
    if size is not None and header.size != size:
        raise DataError(size_message(name, header.size, size))
    if header.is_plain_jpeg:
        smallest = _smallest_size(header.stored_size, target_scale)
        image = _decode_jpeg(content, name, header, smallest, not allow_damaged)
    else:
        image = _decode_other(content, name)
        _check_size(image.shape[1::-1], header, name)
    return _turn(image, header.orientation)


def size_message(name: str, found: tuple[int, int], expected: tuple[int, int]) -> str:
    """What to tell the user about a frame whose size is not the one of the JSON.

    Args:
        name: How to call the frame.
        found: (width, height) of the image.
        expected: (width, height) in the annotation file.
    """
    return (
        f"{name} is {found[0]} x {found[1]} pixels, but the annotation file says "
        f"{expected[0]} x {expected[1]}; masks would not fit: use the frames that were "
        "annotated, or correct width and height in the file."
    )


def _smallest_size(
    size: tuple[int, int], target_scale: tuple[int, int] | None
) -> tuple[int, int]:
    """(width, height) that is still enough, as ``mmcv.rescale_size`` computes it."""
    if target_scale is None:
        return size
    factor = min(max(target_scale) / max(size), min(target_scale) / min(size))
    return math.ceil(size[0] * factor), math.ceil(size[1] * factor)


def _check_size(size: tuple[int, ...], header: ImageHeader, name: str) -> None:
    if size != header.stored_size:
        raise DataError(_broken(name, "its header has another size than its pixels"))


def _decode_jpeg(
    content: bytes,
    name: str,
    header: ImageHeader,
    smallest: tuple[int, int],
    strict: bool,
) -> np.ndarray:
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(content, strict=strict)
        _check_size((width, height), header, name)
        return simplejpeg.decode_jpeg(
            content,
            "BGR",
            min_width=smallest[0],
            min_height=smallest[1],
            min_factor=2,  # libjpeg is fast at whole parts alone
            strict=strict,
        )
    except ValueError as error:
        raise DataError(_broken(name, str(error))) from error


def _decode_other(content: bytes, name: str) -> np.ndarray:
    image = None
    if not (content.startswith(_PNG_START) and _PNG_END not in content[-64:]):
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        try:
            image = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
        except cv2.error:
            image = None
    if image is None:
        raise DataError(_broken(name, "its end is missing, or the format is unknown"))
    return image


def _broken(name: str, reason: str) -> str:
    return (
        f"The image {name} is truncated or broken ({reason.strip()}); extract or "
        "download it again."
    )


def _turn(image: np.ndarray, orientation: int) -> np.ndarray:
    """Turn an image as its EXIF orientation says, alike for every format."""
    if orientation in _QUARTER_TURNS:
        image = image.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)
