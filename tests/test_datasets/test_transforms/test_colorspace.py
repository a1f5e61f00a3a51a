import numpy as np
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
