"""Loading a frame and its instances."""

import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmdet.datasets.transforms import LoadTrackAnnotations
from mmdet.registry import TRANSFORMS
from mmengine import fileio

from mmtaformer.ytvis.frames import name_frame, size_message

_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
_PNG_START, _PNG_END = b"\x89PNG", b"IEND"


@TRANSFORMS.register_module()
class LoadFrame(LoadImageFromFile):
    """Load a frame, and say what to do if it is missing, broken or of another size.

    OpenCV decodes a truncated JPEG without an error and fills up with grey, so the
    end of the file is looked for.

    Required keys: ``img_path``; ``video_id``, ``width`` and ``height`` if known.

    Added keys: ``img`` ((H, W, 3) uint8, BGR), ``img_shape`` and ``ori_shape`` (H, W),
    and what holds until a transform changes it: ``scale_factor`` (1.0, 1.0), ``flip``
    False, ``flip_direction`` None.

    Args:
        **kwargs: See :class:`mmcv.transforms.LoadImageFromFile`.

    Raises:
        FileNotFoundError: If the image is missing.
        ValueError: If it is truncated, cannot be decoded, or has another size than
            ``width`` and ``height``.
    """

    def transform(self, results: dict) -> dict:
        """Load ``results['img_path']``.

        Args:
            results: Description of one frame.

        Returns:
            The same with the image.
        """
        path, video_id = results["img_path"], results.get("video_id")
        img = self._decode(self._read(path, video_id), path, video_id)
        size = (img.shape[1], img.shape[0])
        expected = (results.get("width", size[0]), results.get("height", size[1]))
        if size != expected:
            raise ValueError(size_message(path, video_id, size, expected))
        results["img"] = img.astype(np.float32) if self.to_float32 else img
        results["img_shape"] = results["ori_shape"] = img.shape[:2]
        results.update(scale_factor=(1.0, 1.0), flip=False, flip_direction=None)
        return results

    def _read(self, path: str, video_id: int | None) -> bytes:
        try:
            return fileio.get(path, backend_args=self.backend_args)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"The image {name_frame(path, video_id)} does not exist; unpack the "
                "images there, or correct data_root and data_prefix."
            ) from error

    def _decode(self, content: bytes, path: str, video_id: int | None) -> np.ndarray:
        img = None
        if content and not is_truncated(content):
            img = mmcv.imfrombytes(
                content, flag=self.color_type, backend=self.imdecode_backend
            )
        if img is None:
            raise ValueError(
                f"The image {name_frame(path, video_id)} is truncated or broken; "
                "extract or download it again."
            )
        return img


@TRANSFORMS.register_module()
class LoadVideoAnnotations(LoadTrackAnnotations):
    """mmdet's ``LoadTrackAnnotations`` for instance ids of any size.

    Added key: ``gt_instances_ids``, (n,) int64.
    """

    def _load_instances_ids(self, results: dict) -> None:
        results["gt_instances_ids"] = np.array(
            [instance["instance_id"] for instance in results["instances"]],
            dtype=np.int64,
        )


def is_truncated(content: bytes) -> bool:
    """Whether the end of an encoded image is missing.

    In a JPEG the end marker cannot occur inside the compressed data, only after it
    and in an embedded thumbnail, which comes before the last scan.

    Args:
        content: The bytes of the file. Formats other than JPEG and PNG are taken to
            be whole.
    """
    if content.startswith(_JPEG_START):
        return _JPEG_END not in content[max(content.rfind(_JPEG_SCAN), 0) :]
    if content.startswith(_PNG_START):
        return _PNG_END not in content[-64:]
    return False
