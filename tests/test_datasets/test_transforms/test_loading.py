import cv2
import numpy as np
import pytest

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
