"""Transforms that choose other transforms."""

from mmcv.transforms import RandomChoice
from mmdet.registry import TRANSFORMS


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
