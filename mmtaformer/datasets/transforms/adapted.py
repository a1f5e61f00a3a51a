"""Transforms of mmcv and mmdet with one thing changed."""

import numpy as np
from mmcv.transforms import RandomChoice
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


@TRANSFORMS.register_module()
class ClipRandomChoice(RandomChoice):
    """mmcv's ``RandomChoice`` that all frames of a clip can share.

    mmdet's ``RandAugment`` adds its random method to the list that it inherits from
    ``RandomChoice``, where it then stands twice, and a ``TransformBroadcaster`` with
    ``share_random_params=True`` takes the one call of the method for two and refuses
    it. A list of its own is all that this class adds.

    Args:
        transforms: The pipelines to choose from.
        prob: Their probabilities; the same for all if None.
    """

    _methods_with_randomness = ["random_pipeline_index"]
