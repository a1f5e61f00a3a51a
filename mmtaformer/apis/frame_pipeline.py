"""From frames to the model, and its results back."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform, Compose
from mmdet.registry import TRANSFORMS
from mmdet.structures import TrackDataSample

from mmtaformer.utils.errors import DataError, UsageError


@TRANSFORMS.register_module()
class TakeFrame(BaseTransform):
    """Stands in for a transform that loads a frame where the frame is there already.

    Required key: ``img`` ((H, W, 3) uint8, BGR). Added keys: those of
    :class:`LoadFrame`.
    """

    def transform(self, results: dict) -> dict:
        shape = results["img"].shape[:2]
        results.update(img_shape=shape, ori_shape=shape, scale_factor=(1.0, 1.0))
        results.update(flip=False, flip_direction=None)
        return results


@dataclass(frozen=True)
class PreparedFrame:
    """A frame as the model takes it.

    Attributes:
        inputs: (1, 3, h, w) uint8, resized.
        sample: The frame's data sample, with its sizes.
    """

    inputs: torch.Tensor
    sample: Any


class FramePipeline:
    """The test pipeline of a config, for frames that are in memory.

    Args:
        pipeline: Configs of the transforms.
    """

    def __init__(self, pipeline: Sequence[dict]) -> None:
        self.transforms = Compose(_take_frames(pipeline))

    def prepare(self, image: np.ndarray) -> PreparedFrame:
        """Resize one frame, BGR uint8 (H, W, 3), as the config says."""
        clip = dict(
            img=[image], img_id=[0], img_path=[None], frame_id=[0], video_id=[0]
        )
        packed = self.transforms(clip | dict(video_length=[1], ori_video_length=[1]))
        return PreparedFrame(
            packed["inputs"], packed["data_samples"].video_data_samples[0]
        )

    def collate(
        self, frames: Sequence[PreparedFrame], first: int = 0
    ) -> dict[str, list]:
        """A batch of one clip, for ``model.test_step``.

        Args:
            frames: The frames of the clip.
            first: Index of the first one in the video.

        Raises:
            DataError: If there are no frames, or they differ in size.
        """
        if not frames:
            raise DataError("there are no frames.")
        shapes = {frame.sample.ori_shape for frame in frames}
        if len(shapes) > 1:
            raise DataError(
                f"frames have heights and widths {sorted(shapes)}; all frames of a "
                "video need one size."
            )
        clip = TrackDataSample()
        # Results are written into the samples, and a frame is in several clips.
        clip.video_data_samples = [frame.sample.clone() for frame in frames]
        for index, sample in enumerate(clip.video_data_samples, first):
            sample.set_metainfo(dict(frame_id=index))
        return dict(
            inputs=[torch.cat([frame.inputs for frame in frames])], data_samples=[clip]
        )

    def __call__(self, images: Iterable[np.ndarray]) -> dict[str, list]:
        """Prepare and collate the frames of one clip."""
        return self.collate([self.prepare(image) for image in images])


def build_pipeline(cfg: Any) -> FramePipeline:
    """The pipeline of a config's ``test_dataloader``.

    Raises:
        UsageError: If the config has none.
    """
    loader = cfg.get("test_dataloader") or cfg.get("val_dataloader")
    if loader is None or "pipeline" not in loader.get("dataset", {}):
        raise UsageError(
            "the config has no test_dataloader.dataset.pipeline, which says how frames "
            "are resized for the model."
        )
    return FramePipeline(loader.dataset.pipeline)


def _take_frames(pipeline: Sequence[dict]) -> list[dict]:
    """The same transforms, with frames taken instead of loaded; no ground truth."""
    taking: list[dict] = []
    for transform in pipeline:
        name = str(transform["type"]).rpartition(".")[-1]
        if name in ("LoadFrame", "LoadImageFromFile"):
            taking.append({"type": "TakeFrame"})
        elif "transforms" in transform:
            inner = _take_frames(transform["transforms"])
            taking.append({**transform, "transforms": inner})
        elif not name.startswith("Load"):
            taking.append(dict(transform))
    return taking
