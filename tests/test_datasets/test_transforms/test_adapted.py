import numpy as np
from mmcv.transforms import TransformBroadcaster
from mmdet.datasets.transforms import PhotoMetricDistortion

from mmtaformer.datasets import UInt8PhotoMetricDistortion


def test_distorted_images_are_clipped_not_wrapped():
    rng = np.random.default_rng(0)
    img = rng.choice([0, 3, 128, 252, 255], size=(16, 16, 3)).astype(np.uint8)
    out_of_range = 0
    for seed in range(30):
        np.random.seed(seed)
        expected = PhotoMetricDistortion()(dict(img=img))["img"]
        np.random.seed(seed)
        result = UInt8PhotoMetricDistortion()(dict(img=img))["img"]
        assert result.dtype == np.uint8
        assert np.abs(result - np.clip(expected, 0, 255)).max() <= 0.5
        out_of_range += int(expected.max() > 256) + int(expected.min() < -1)
    assert out_of_range > 10


def test_all_frames_of_a_clip_share_the_choice():
    flips = [
        [dict(type="RandomFlip", prob=1.0, direction=direction)]
        for direction in ("horizontal", "vertical")
    ]
    broadcaster = TransformBroadcaster(
        [dict(type="ClipRandomChoice", transforms=flips)], share_random_params=True
    )
    np.random.seed(0)
    choices = set()
    for _ in range(20):
        clip = broadcaster(dict(img=[np.zeros((2, 2, 3), np.uint8)] * 6))
        assert len(set(clip["flip_direction"])) == 1
        choices.add(clip["flip_direction"][0])
    assert choices == {"horizontal", "vertical"}
