"""Loading a frame and its instances."""

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.datasets.transforms import LoadTrackAnnotations
from mmdet.registry import TRANSFORMS
from mmengine import fileio

from mmtaformer.datasets.run_length_masks import RunLengthMasks
from mmtaformer.ytvis.frames import name_frame
from mmtaformer.ytvis.images import decode_image


@TRANSFORMS.register_module()
class LoadFrame(BaseTransform):
    """Load a frame, and say what to do if it is missing, broken or of another size.

    Required keys: ``img_path``; ``video_id``, ``width`` and ``height`` if known.

    Added keys: ``img`` ((H, W, 3) uint8, BGR, upright), ``img_shape`` and
    ``ori_shape`` (H, W of the file), and what holds until a transform changes it:
    ``scale_factor`` (1.0, 1.0), ``flip`` False, ``flip_direction`` None.

    Args:
        backend_args: Where the images are, as mmengine's file backends have it; the
            local disk if None.
        allow_damaged: Whether to take what can be decoded of a damaged JPEG.
        target_scale: The ``scale`` of the ``Resize`` that follows, or the largest of
            several. A JPEG of at least twice this size is decoded at a half, or less,
            which is faster; its pixels are averages then. :class:`LoadVideoAnnotations`
            brings boxes and masks to the same size. Needs ``width`` and ``height``.

    Raises:
        FileNotFoundError: If the image is missing.
        DataError: If it is cut off or damaged, cannot be decoded, or has another size
            than ``width`` and ``height``.
    """

    def __init__(
        self,
        backend_args: dict | None = None,
        allow_damaged: bool = False,
        target_scale: tuple[int, int] | None = None,
    ) -> None:
        self.backend_args = backend_args
        self.allow_damaged = allow_damaged
        self.target_scale = target_scale

    def transform(self, results: dict) -> dict:
        """Load ``results['img_path']``.

        Args:
            results: Description of one frame.

        Returns:
            The same with the image.
        """
        name = name_frame(results["img_path"], results.get("video_id"))
        has_size = "width" in results and "height" in results
        img = decode_image(
            self._read(results["img_path"], name),
            name,
            size=(results["width"], results["height"]) if has_size else None,
            allow_damaged=self.allow_damaged,
            target_scale=self.target_scale if has_size else None,
        )
        results["img"] = img
        results["img_shape"] = results["ori_shape"] = img.shape[:2]
        if has_size:
            results["ori_shape"] = results["height"], results["width"]
        results.update(scale_factor=(1.0, 1.0), flip=False, flip_direction=None)
        return results

    def _read(self, path: str, name: str) -> bytes:
        try:
            return fileio.get(path, backend_args=self.backend_args)
        except (FileNotFoundError, IsADirectoryError) as error:
            raise FileNotFoundError(
                f"The image {name} does not exist; unpack the images there, or correct "
                "data_root and data_prefix."
            ) from error

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}(backend_args={self.backend_args}, "
            f"allow_damaged={self.allow_damaged}, target_scale={self.target_scale})"
        )


@TRANSFORMS.register_module()
class LoadVideoAnnotations(LoadTrackAnnotations):
    """mmdet's ``LoadTrackAnnotations`` for instance ids of any size, and faster.

    Added keys: ``gt_instances_ids``, (n,) int64; ``gt_masks``, which stay run lengths
    while they are resized (:class:`RunLengthMasks`) where the file has no polygons.
    Boxes and masks have the size of the image, which :class:`LoadFrame` may reduce.
    """

    def transform(self, results: dict) -> dict:
        """Load what belongs to ``results['img']``.

        Args:
            results: One frame with ``instances``, ``ori_shape`` and ``img_shape``.

        Returns:
            The same with boxes, labels, ids, masks.
        """
        results = super().transform(results)
        old, new = results["ori_shape"], results.get("img_shape", results["ori_shape"])
        if new != old:
            if "gt_bboxes" in results:
                factors = [new[1] / old[1], new[0] / old[0]]
                results["gt_bboxes"] *= np.array(factors * 2, np.float32)
            if "gt_masks" in results:
                results["gt_masks"] = results["gt_masks"].resize(new)
        return results

    def _load_masks(self, results: dict) -> None:
        masks = [instance["mask"] for instance in results["instances"]]
        if all(isinstance(m, dict) and isinstance(m["counts"], str) for m in masks):
            shape = results["ori_shape"]
            results["gt_masks"] = RunLengthMasks.from_rles(masks, *shape)
        else:
            super()._load_masks(results)

    def _load_instances_ids(self, results: dict) -> None:
        results["gt_instances_ids"] = np.array(
            [instance["instance_id"] for instance in results["instances"]],
            dtype=np.int64,
        )
