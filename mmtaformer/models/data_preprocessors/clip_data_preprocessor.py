"""Normalizes and pads clips; ground truth stays where it was loaded."""

from mmdet.models.data_preprocessors import TrackDataPreprocessor
from mmdet.registry import MODELS


@MODELS.register_module()
class ClipDataPreprocessor(TrackDataPreprocessor):
    """mmdet's preprocessor of clips, which moves the frames to the device only.

    The head aligns the ground truth over the frames on the CPU and moves the result,
    so moving every frame's annotations there and back would be wasted. On the CPU it
    costs too: mmdet's ``TrackDataSample`` formats a sample as text whenever one is
    copied.
    """

    def cast_data(self, data):
        """Frames on the model's device; anything else of a batch as it is."""
        if isinstance(data, dict):
            return {**data, "inputs": self.cast_data(data["inputs"])}
        return super().cast_data(data)
