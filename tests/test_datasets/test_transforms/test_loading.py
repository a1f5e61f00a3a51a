import cv2
import numpy as np
import pytest
from mmdet.datasets.transforms import Resize

from mmtaformer.datasets import LoadFrame, LoadVideoAnnotations
from mmtaformer.utils.errors import DataError

from ...helpers.ytvis_factory import encode, rectangle

SIZE = (64, 48)


@pytest.fixture
def path(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    assert cv2.imwrite(str(tmp_path / "frame.jpg"), image)
    return tmp_path / "frame.jpg"


def load(path, **results):
    return LoadFrame()(dict(img_path=str(path), video_id=0, **results))


def test_frame_and_what_later_steps_rely_on(path):
    results = load(path, width=64, height=48)
    np.testing.assert_array_equal(results["img"], cv2.imread(str(path)))
    assert results["img_shape"] == results["ori_shape"] == (48, 64)
    assert results["scale_factor"] == (1.0, 1.0)
    assert results["flip"] is False


def test_broken_image(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    message = r"frame.jpg \(video 0\) is truncated or broken .* extract or download"
    with pytest.raises(DataError, match=message):
        load(path)
    results = LoadFrame(allow_damaged=True)(dict(img_path=str(path)))
    assert results["img_shape"] == (48, 64)


@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_missing_image(path, kind):
    path.unlink()
    if kind == "folder":
        path.mkdir()
    message = r"frame.jpg \(video 0\) does not exist; .* data_prefix"
    with pytest.raises(FileNotFoundError, match=message):
        load(path)
    # Of an unknown video it is named by the path alone.
    with pytest.raises(FileNotFoundError, match=r"frame.jpg does not exist"):
        LoadFrame()(dict(img_path=str(path)))


def test_size_differs_from_the_annotation_file(path):
    message = r"frame.jpg \(video 0\) is 64 x 48 pixels, but .* says 48 x 64"
    with pytest.raises(DataError, match=message):
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


def clip_frame(path, target_scale):
    """A frame of 512 x 384 pixels with one instance, loaded and resized."""
    height, width = 384, 512
    y, x = np.mgrid[:height, :width] / height
    image = np.stack([127 + 120 * np.sin(5 * x), 200 * y, 90 + 60 * x * y], axis=-1)
    cv2.imwrite(str(path), image.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 95])
    mask = rectangle((width, height), 100, 60, 240, 180)
    instance = dict(
        bbox=[100, 60, 340, 240],
        bbox_label=1,
        mask=encode(mask, "compressed"),
        instance_id=3,
        ignore_flag=0,
    )
    results = dict(img_path=str(path), width=width, height=height, instances=[instance])
    loaded = LoadVideoAnnotations(with_mask=True)(
        LoadFrame(target_scale=target_scale)(results)
    )
    decoded = loaded["img"].shape[:2]
    return decoded, Resize(scale=(200, 120), keep_ratio=True)(loaded)


@pytest.mark.parametrize(
    ("target_scale", "decoded"),
    [((200, 120), (144, 192)), ((120, 200), (144, 192)), ((400, 250), (384, 512))]
    + [((64, 48), (48, 64)), ((2000, 192), (192, 256)), ((1000, 1000), (384, 512))],
)
def test_large_frames_are_decoded_smaller(path, target_scale, decoded):
    expected_size, expected = clip_frame(path, None)
    size, found = clip_frame(path, target_scale)
    assert expected_size == (384, 512) and size == decoded
    assert found["img_shape"] == expected["img_shape"] == (120, 160)
    assert found["ori_shape"] == expected["ori_shape"] == (384, 512)
    difference = found["img"].astype(int) - expected["img"]
    # At 64 x 48 the picture was smaller than what it was resized to.
    assert np.abs(difference).mean() < (3 if decoded > (48, 64) else 8)
    np.testing.assert_allclose(found["gt_bboxes"], expected["gt_bboxes"], atol=1e-3)
    masks = [results["gt_masks"].masks[0] > 0 for results in (found, expected)]
    assert (masks[0] & masks[1]).sum() > 0.9 * (masks[0] | masks[1]).sum()


def test_frames_of_unknown_size_are_decoded_in_full(path):
    results = LoadFrame(target_scale=(16, 12))(dict(img_path=str(path)))
    assert results["img_shape"] == results["ori_shape"] == (48, 64)
