"""Photometric distortion of frames."""

import numpy as np
from mmdet.datasets.transforms import PhotoMetricDistortion
from mmdet.registry import TRANSFORMS


@TRANSFORMS.register_module()
class UInt8PhotoMetricDistortion(PhotoMetricDistortion):
    """mmdet's ``PhotoMetricDistortion`` with an image as its result.

    mmdet's goes on with float32 values beyond [0, 255], four times as many bytes on
    the way to the model. Here they are rounded and clipped to uint8.
    """

    def transform(self, results: dict) -> dict:
        """Distort ``results['img']``.

        Args:
            results: One frame with ``img``, (H, W, 3) uint8, BGR.

        Returns:
            The same with the distorted image, uint8.
        """
        results = super().transform(results)
        img = results["img"]
        np.clip(np.rint(img, out=img), 0, 255, out=img)
        results["img"] = img.astype(np.uint8)
        return results
