import io

import cv2
import numpy as np
import pytest
from PIL import Image

from mmtaformer.datasets import LoadFrame, LoadVideoAnnotations

from ...helpers.ytvis_factory import encode, rectangle

SIZE = (64, 48)


def textured():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)


def encoded(suffix, **kwargs):
    buffer = io.BytesIO()
    Image.fromarray(textured()[..., ::-1]).save(buffer, suffix, **kwargs)
    return buffer.getvalue()


def with_thumbnail():
    """A JPEG with a whole smaller JPEG in its header."""
    thumbnail = io.BytesIO()
    Image.new("RGB", (8, 8)).save(thumbnail, "jpeg")
    body = encoded("jpeg")
    segment = b"Exif\x00\x00" + thumbnail.getvalue()
    size = (len(segment) + 2).to_bytes(2, "big")
    return body[:2] + b"\xff\xe1" + size + segment + body[2:]


def load(path, **results):
    return LoadFrame()(dict(img_path=str(path), video_id=0, **results))


@pytest.mark.parametrize("suffix", ["jpeg", "png"])
def test_frame_and_what_later_steps_rely_on(tmp_path, suffix):
    path = tmp_path / "frame"
    path.write_bytes(encoded(suffix))
    results = load(path, width=64, height=48)
    np.testing.assert_array_equal(results["img"], cv2.imread(str(path)))
    assert results["img_shape"] == results["ori_shape"] == (48, 64)
    assert results["scale_factor"] == (1.0, 1.0)
    assert results["flip"] is False


@pytest.mark.parametrize(
    "content",
    [
        encoded("jpeg", progressive=True),
        with_thumbnail(),
        encoded("jpeg") + b"\x00" * 30,
        encoded("bmp"),
    ],
    ids=["progressive", "thumbnail", "trailing bytes", "bmp"],
)
def test_whole_images_of_other_kinds(tmp_path, content):
    path = tmp_path / "frame"
    path.write_bytes(content)
    assert load(path)["img"].shape == (48, 64, 3)


@pytest.mark.parametrize("part", [0, 0.05, 0.5, 0.98])
@pytest.mark.parametrize(
    "content",
    [
        encoded("jpeg"),
        encoded("jpeg", progressive=True),
        with_thumbnail(),
        encoded("png"),
        b"<html>not found</html>",
    ],
    ids=["jpeg", "progressive", "thumbnail", "png", "html"],
)
def test_truncated_or_broken_images(tmp_path, content, part):
    path = tmp_path / "frame.jpg"
    path.write_bytes(content[: int(len(content) * part)])
    message = r"frame.jpg \(video 0\) is truncated or broken; extract or download"
    with pytest.raises(ValueError, match=message):
        load(path)


def test_tail_of_zeros(tmp_path):
    path = tmp_path / "frame.jpg"
    content = encoded("jpeg")
    path.write_bytes(content[: len(content) // 2].ljust(len(content), b"\x00"))
    with pytest.raises(ValueError, match="truncated or broken"):
        load(path)


def test_frames_of_an_unknown_video_are_named_by_their_path_alone(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"frame.jpg does not exist"):
        LoadFrame()(dict(img_path=str(tmp_path / "frame.jpg")))


def test_missing_image(tmp_path):
    message = r"frame.jpg \(video 0\) does not exist; .* data_prefix"
    with pytest.raises(FileNotFoundError, match=message):
        load(tmp_path / "frame.jpg")


def test_size_differs_from_the_annotation_file(tmp_path):
    path = tmp_path / "frame.jpg"
    path.write_bytes(encoded("jpeg"))
    message = r"frame.jpg \(video 0\) is 64 x 48 pixels, but .* says 48 x 64"
    with pytest.raises(ValueError, match=message):
        load(path, width=48, height=64)


@pytest.mark.parametrize("ids", [[], [0, 5], [-(2**40), 2**40]])
def test_instance_ids_of_any_size(ids):
    mask = rectangle(SIZE, 3, 4, 10, 10)
    instances = [
        dict(
            bbox=[3, 4, 13, 14],
            bbox_label=1,
            mask=encode(mask, "compressed"),
            instance_id=instance_id,
            ignore_flag=0,
        )
        for instance_id in ids
    ]
    results = LoadVideoAnnotations(with_mask=True)(
        dict(instances=instances, ori_shape=(48, 64))
    )
    assert results["gt_instances_ids"].tolist() == ids
    assert len(results["gt_masks"]) == len(ids)
    for loaded in results["gt_masks"].masks:
        np.testing.assert_array_equal(loaded, mask)
