"""Making a clip of one image."""

import copy

from mmcv.transforms import BaseTransform
from mmdet.datasets.transforms import Rotate
from mmdet.registry import TRANSFORMS

from mmtaformer.utils.errors import UsageError


@TRANSFORMS.register_module()
class RepeatFrame(BaseTransform):
    """Make a clip of copies of one loaded frame, instance ids and all.

    The image is decoded once, and the copies share nothing, so that each can be
    transformed in its own way.

    Args:
        num_frames (int): Length T of the clip.

    Raises:
        UsageError: If ``num_frames`` is less than one, or the clip to repeat has not
            exactly one frame.
    """

    def __init__(self, num_frames: int = 5) -> None:
        if num_frames < 1:
            raise UsageError(
                f"RepeatFrame got num_frames={num_frames}; it must be at least 1."
            )
        self.num_frames = num_frames

    def transform(self, results: dict) -> dict:
        """Repeat a frame.

        Args:
            results: A clip of one frame: for every key a list with one value.

        Returns:
            The same with lists of T values; without ``instances``, which have been
            loaded.
        """
        if len(results["img_id"]) != 1:
            raise UsageError(
                f"RepeatFrame got a clip of {len(results['img_id'])} frames; it makes "
                "clips of single images: put ClipSample(num_frames=1) before it."
            )
        clip = {
            key: [copy.deepcopy(values[0]) for _ in range(self.num_frames)]
            for key, values in results.items()
            if key != "instances"
        }
        clip["frame_id"] = list(range(self.num_frames))
        for key in ("video_length", "ori_video_length"):
            clip[key] = [self.num_frames] * self.num_frames
        return clip

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(num_frames={self.num_frames})"


@TRANSFORMS.register_module()
class RotateFrame(Rotate):
    """mmdet's ``Rotate`` with boxes that fit the rotated masks.

    mmdet puts a box around the rotated box, which is larger than the instance. An
    instance that has left the image gets a box of zeros; :class:`FilterEmptyClip`
    drops it from the frame.

    Args:
        **kwargs: See :class:`mmdet.datasets.transforms.Rotate`.
    """

    # The list of mmdet's class names a method several times, and a clip whose frames
    # share their random numbers takes that for several calls.
    _methods_with_randomness = ["_random_disable", "_get_mag"]

    def _transform_bboxes(self, results: dict, mag: float) -> None:
        pass

    def _transform_masks(self, results: dict, mag: float) -> None:
        super()._transform_masks(results, mag)
        results["gt_bboxes"] = results["gt_masks"].get_bboxes("hbox")
