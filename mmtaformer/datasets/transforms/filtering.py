"""Leaving out what a crop has removed."""

from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS

_INSTANCE_KEYS = (
    "gt_bboxes",
    "gt_bboxes_labels",
    "gt_instances_ids",
    "gt_ignore_flags",
    "gt_masks",
)


@TRANSFORMS.register_module()
class FilterEmptyClip(BaseTransform):
    """Drop instances without a visible pixel, and clips without an instance.

    An instance is dropped from the frames in which its mask is empty, for instance
    after a crop that leaves only a corner of its box; it stays in the others. mmdet's
    ``FilterAnnotations`` is not used because it leaves ``gt_instances_ids`` as they
    are, so that ids and masks no longer belong together.

    Where no frame has an instance that is not ignored, the result is None: the data
    set draws another video then.

    It works on whole clips: put it after a ``TransformBroadcaster``, not into one.

    Required keys: ``gt_bboxes``, ``gt_bboxes_labels``, ``gt_instances_ids``,
    ``gt_ignore_flags``, ``gt_masks``, each a list with one entry per frame.
    """

    def transform(self, results: dict) -> dict | None:
        """Filter a clip.

        Args:
            results: The clip.

        Returns:
            The clip, or None if nothing is left to learn from.
        """
        visible = [masks.areas > 0 for masks in results["gt_masks"]]
        for key in _INSTANCE_KEYS:
            results[key] = [
                values[keep] for values, keep in zip(results[key], visible, strict=True)
            ]
        has_target = any((~flags).any() for flags in results["gt_ignore_flags"])
        return results if has_target else None

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}()"
