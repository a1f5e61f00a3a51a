"""Damaged images, turned images and images that claim to be huge."""

import io
import json
import os
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageOps

from .targets import Outcome, judge, read_frames

REFUSED, UNDETECTABLE = "refused", "undetectable"
SIZE = (40, 24)  # width, height, as those of the videos


@dataclass(frozen=True)
class DamagedImage:
    """An image in place of a frame.

    Attributes:
        what: Its name.
        content: Its bytes; None is a folder in its place.
        expected: What must become of it: "refused", or the pixels, (H, W, 3) RGB.
            "undetectable" is damage that leaves a valid file of other pixels.
    """

    what: str
    content: bytes | None
    expected: Any


def damaged_images() -> list[DamagedImage]:
    """All of them; the first is whole."""
    return [*_jpegs(), *_pngs(), *_others(), *_turned()]


def load_image(root: Path, image: DamagedImage, frame: int) -> Outcome:
    """Put an image in the place of a frame of the first video, and load the videos."""
    folder = root / f"process{os.getpid()}_images"
    if not folder.exists():
        shutil.copytree(root / "train", folder / "train")
        content = json.loads((root / "train.json").read_text())
        content["videos"] = content["videos"][:1]
        content["annotations"] = content["annotations"][:1]
        (folder / "train.json").write_text(json.dumps(content))
    path = folder / "train/JPEGImages/video0" / f"{5 * frame:05}.jpg"
    before = path.read_bytes()
    path.unlink()
    path.mkdir() if image.content is None else path.write_bytes(image.content)

    def run():
        pixels = read_frames(folder / "train.json")[0, frame]
        return pixels if image.expected is not UNDETECTABLE else "taken"

    def reference():
        return image.expected if image.expected is not UNDETECTABLE else "taken"

    try:
        wanted = None if image.expected is REFUSED else reference
        return judge(image.what, run, wanted, path)
    finally:
        path.rmdir() if path.is_dir() else path.unlink()
        path.write_bytes(before)


def _picture(size: tuple[int, int] = SIZE) -> Image.Image:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (6, 10, 3), dtype=np.uint8)
    return Image.fromarray(cv2.resize(small, size, interpolation=cv2.INTER_CUBIC))


def _encode(suffix: str, image: Image.Image | None = None, **kwargs: Any) -> bytes:
    buffer = io.BytesIO()
    (image or _picture()).save(buffer, suffix, **kwargs)
    return buffer.getvalue()


def _pixels(content: bytes) -> np.ndarray:
    """What OpenCV, which turns no image here, sees; RGB."""
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    return cv2.imdecode(np.frombuffer(content, np.uint8), flags)[..., ::-1]


def _whole(what: str, content: bytes) -> DamagedImage:
    return DamagedImage(what, content, _pixels(content))


def _jpegs() -> list[DamagedImage]:
    whole = _encode("jpeg")
    half = len(whole) // 2
    scan = whole.rindex(b"\xff\xda") + 14
    flipped = bytearray(whole)
    flipped[scan + 3 : scan + 60 : 7] = bytes(
        255 - b for b in flipped[scan + 3 : scan + 60 : 7]
    )
    zeros = whole[: scan + 20] + bytes(40) + whole[scan + 60 :]
    huge = bytearray(whole)
    start = huge.index(b"\xff\xc0") + 5
    huge[start : start + 4] = (65_000).to_bytes(2, "big") * 2
    progressive = _encode("jpeg", progressive=True)
    return [
        _whole("JPEG", whole),
        _whole("JPEG, progressive", progressive),
        _whole("JPEG, trailing bytes", whole + bytes(30)),
        _whole("JPEG, grey", _encode("jpeg", _picture().convert("L"))),
        _whole("JPEG, CMYK", _encode("jpeg", _picture().convert("CMYK"))),
        DamagedImage("JPEG, last byte missing", whole[:-1], REFUSED),
        DamagedImage("JPEG, last two bytes missing", whole[:-2], REFUSED),
        DamagedImage("JPEG, half", whole[:half], REFUSED),
        DamagedImage("JPEG, half and an end mark", whole[:half] + b"\xff\xd9", REFUSED),
        DamagedImage("JPEG, half, then zeros", whole[:half] + bytes(half), REFUSED),
        DamagedImage("JPEG, progressive, half", progressive[:half], REFUSED),
        DamagedImage("JPEG, bytes of the scan flipped", bytes(flipped), REFUSED),
        DamagedImage("JPEG, zeros in the scan", zeros, UNDETECTABLE),
        DamagedImage("JPEG, 65,000 x 65,000", bytes(huge), REFUSED),
    ]


def _pngs() -> list[DamagedImage]:
    whole = _encode("png")
    flipped = bytearray(whole)
    flipped[whole.index(b"IDAT") + 30] ^= 255
    deep = Image.fromarray(np.asarray(_picture().convert("L")).astype(np.uint16) * 257)
    return [
        _whole("PNG", whole),
        _whole("PNG, 16 bits", _encode("png", deep)),
        _whole("PNG, palette", _encode("png", _picture().convert("P"))),
        _whole("PNG, alpha", _encode("png", _picture().convert("RGBA"))),
        DamagedImage("PNG, end missing", whole[:-12], REFUSED),
        DamagedImage("PNG, half", whole[: len(whole) // 2], REFUSED),
        DamagedImage("PNG, a byte of the pixels flipped", bytes(flipped), REFUSED),
        DamagedImage("PNG, 20,000 x 20,000", _huge_png(20_000), REFUSED),
        DamagedImage("PNG, 9,000 x 9,000", _huge_png(9_000), REFUSED),
    ]


def _huge_png(side: int) -> bytes:
    """A whole PNG of a few hundred kB that unpacks to gigabytes."""
    header = side.to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    rows = zlib.compressobj(9)
    row = bytes(1 + 3 * side)
    pixels = b"".join([rows.compress(row) for _ in range(200)]) + rows.flush()
    parts = [(b"IHDR", header), (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(data).to_bytes(4, "big")
        + kind
        + data
        + zlib.crc32(kind + data).to_bytes(4, "big")
        for kind, data in parts
    )


def _others() -> list[DamagedImage]:
    webp, bmp, gif = (_encode("webp", lossless=True), _encode("bmp"), _encode("gif"))
    return [
        _whole("WebP", webp),
        _whole("BMP", bmp),
        DamagedImage(
            "GIF", gif, np.asarray(Image.open(io.BytesIO(gif)).convert("RGB"))
        ),
        DamagedImage("WebP, half", webp[: len(webp) // 2], REFUSED),
        DamagedImage("BMP, half", bmp[: len(bmp) // 2], REFUSED),
        DamagedImage("GIF, half", gif[: len(gif) // 2], REFUSED),
        DamagedImage("empty", b"", REFUSED),
        DamagedImage("text", b"<html>404 not found</html>", REFUSED),
        DamagedImage("a folder", None, REFUSED),
        DamagedImage("another size", _encode("png", _picture((48, 24))), REFUSED),
        DamagedImage("transposed", _encode("png", _picture((24, 40))), REFUSED),
    ]


def _turned() -> list[DamagedImage]:
    cases = []
    for suffix in ("jpeg", "webp"):
        for orientation, size in ((3, SIZE), (6, SIZE[::-1]), (6, SIZE)):
            image = _picture(size)
            exif = image.getexif()
            exif[0x0112] = orientation
            lossless = {"lossless": True} if suffix == "webp" else {}
            content = _encode(suffix, image, exif=exif, **lossless)
            upright = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
            expected = np.asarray(upright) if upright.size == SIZE else REFUSED
            what = f"{suffix}, turned ({orientation}), stored as {size[0]} x {size[1]}"
            cases.append(DamagedImage(what, content, expected))
    return cases
