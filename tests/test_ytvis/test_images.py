import io
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from mmtaformer.utils.errors import DataError
from mmtaformer.ytvis.images import decode_image, read_header

SIZE = (64, 48)


def textured():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)


def encoded(suffix, image=None, **kwargs):
    buffer = io.BytesIO()
    image = Image.fromarray(textured()[..., ::-1]) if image is None else image
    image.save(buffer, suffix, **kwargs)
    return buffer.getvalue()


def with_thumbnail():
    """A JPEG with a whole smaller JPEG in its header."""
    thumbnail = encoded("jpeg", Image.new("RGB", (8, 8)))
    body = encoded("jpeg")
    segment = b"Exif\x00\x00" + thumbnail
    size = (len(segment) + 2).to_bytes(2, "big")
    return body[:2] + b"\xff\xe1" + size + segment + body[2:]


KINDS = {
    "jpeg": encoded("jpeg"),
    "progressive": encoded("jpeg", progressive=True),
    "grey": encoded("jpeg", Image.fromarray(textured()[..., 0])),
    "cmyk": encoded("jpeg", Image.fromarray(textured()).convert("CMYK")),
    "thumbnail": with_thumbnail(),
    "trailing bytes": encoded("jpeg") + b"\x00" * 30,
    "png": encoded("png"),
    "alpha": encoded("png", Image.fromarray(textured()).convert("RGBA")),
    "palette": encoded("png", Image.fromarray(textured()).convert("P")),
    "bmp": encoded("bmp"),
    "webp": encoded("webp", lossless=True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_those_of_opencv(kind):
    image = decode_image(KINDS[kind], "frame", SIZE)
    expected = cv2.imdecode(np.frombuffer(KINDS[kind], np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize("part", [0, 0.05, 0.5, 0.98])
@pytest.mark.parametrize("kind", ["jpeg", "progressive", "thumbnail", "png", "webp"])
def test_images_that_are_cut_off(kind, part):
    content = KINDS[kind][: int(len(KINDS[kind]) * part)]
    with pytest.raises(
        DataError, match=r"frame.* (broken|readable).* download it again"
    ):
        decode_image(content, "frame")


def test_files_that_are_no_images():
    with pytest.raises(DataError, match="frame is not a readable image"):
        decode_image(b"<html>not found</html>", "frame")


def damaged_jpeg():
    """A JPEG whose second half is missing, with an end mark all the same."""
    content = KINDS["jpeg"]
    return content[: len(content) // 2] + b"\xff\xd9"


def test_damaged_scans_are_found_unless_allowed():
    assert cv2.imdecode(np.frombuffer(damaged_jpeg(), np.uint8), 1) is not None
    with pytest.raises(DataError, match=r"broken \(Corrupt JPEG data: premature end"):
        decode_image(damaged_jpeg(), "frame")
    assert decode_image(damaged_jpeg(), "frame", allow_damaged=True).shape[:2] == (
        48,
        64,
    )


def test_tail_of_zeros():
    content = KINDS["jpeg"]
    content = content[: len(content) // 2].ljust(len(content), b"\x00")
    with pytest.raises(DataError, match="truncated or broken"):
        decode_image(content, "frame")


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_the_size_is_compared_before_pixels_are_decoded(kind, monkeypatch):
    for decoder in ("_decode_jpeg", "_decode_other"):
        monkeypatch.setattr(
            f"mmtaformer.ytvis.images.{decoder}", lambda *_: pytest.fail("decoded")
        )
    with pytest.raises(DataError, match=r"frame is 64 x 48 pixels, .* says 48 x 64"):
        decode_image(KINDS[kind], "frame", (48, 64))


def test_bombs_are_refused_at_once():
    """A PNG of 30,000 x 30,000 pixels; only the header is there."""
    bomb = bytearray(KINDS["png"])
    bomb[16:24] = (30_000).to_bytes(4, "big") * 2
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    with pytest.raises(DataError, match="frame has far more pixels by its header"):
        read_header(io.BytesIO(bomb), "frame")


@pytest.mark.parametrize("suffix", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_alike_in_every_format(suffix, orientation):
    """Pillow's own way to turn an image, on another decoder, is the reference."""
    image = Image.fromarray(cv2.resize(textured(), SIZE[::-1])[..., ::-1])
    exif = image.getexif()
    exif[0x0112] = orientation
    lossless = {} if suffix != "webp" else {"lossless": True}
    content = encoded(suffix, image, exif=exif, **lossless)
    found = decode_image(content, "frame")
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB")
    np.testing.assert_array_equal(found[..., ::-1], np.asarray(upright))
    assert read_header(io.BytesIO(content), "frame").size == upright.size
