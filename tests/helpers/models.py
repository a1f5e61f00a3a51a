"""Small models and clips for tests."""

import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample, TrackDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

import mmtaformer  # noqa: F401, registers what is built

from .golden import REPO_ROOT


def tiny_config(name: str = "taformer_tiny", **options) -> Config:
    """The model of a small config, with ``options`` merged by dotted key."""
    config = Config(
        Config.fromfile(REPO_ROOT / f"configs/_base_/models/{name}.py").model
    )
    config.merge_from_dict(
        {
            "num_queries": 8,
            "test_cfg.encode_masks": False,
        }
    )
    config.merge_from_dict(options)
    return config


def build_tiny(
    name: str = "taformer_tiny", seed: int = 0, noise: float = 0.0, **options
):
    """A small model as it starts, or with every parameter off its start.

    Args:
        name: A base config of a small model.
        seed: Of the random numbers.
        noise: Standard deviation of what is added to every parameter. Without it boxes
            do not depend on the image yet.
        options: Merged into the config by dotted key.
    """
    torch.manual_seed(seed)
    # As the runner does, whatever test ran before.
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(tiny_config(name, **options)._cfg_dict)
    model.init_weights()
    for parameter in model.parameters():
        parameter.data += noise * torch.randn_like(parameter)
    return model.eval()


def clip_sample(
    img_shape: tuple[int, int],
    boxes: dict[int, list[tuple[int, int, int, int] | None]],
    labels: dict[int, int] | None = None,
    num_frames: int | None = None,
    ori_shape: tuple[int, int] | None = None,
) -> TrackDataSample:
    """A clip with rectangular instances.

    Args:
        img_shape: (height, width) of the unpadded frames.
        boxes: Instance id -> box xyxy in pixels of every frame, None if absent.
        labels: Instance id -> label, 0 by default.
        num_frames: T; needed when there are no instances.
        ori_shape: (height, width) of the original frames; img_shape by default.
    """
    num_frames = num_frames or len(next(iter(boxes.values())))
    frames = []
    for t in range(num_frames):
        visible = [i for i in boxes if boxes[i][t] is not None]
        masks = np.zeros((len(visible), *img_shape), dtype=np.uint8)
        for row, i in enumerate(visible):
            x1, y1, x2, y2 = boxes[i][t]
            masks[row, y1:y2, x1:x2] = 1
        frame = DetDataSample(
            metainfo=dict(
                img_shape=img_shape,
                ori_shape=ori_shape or img_shape,
                frame_id=t,
                video_id=0,
            )
        )
        frame.gt_instances = InstanceData(
            bboxes=torch.tensor(
                [boxes[i][t] for i in visible], dtype=torch.float32
            ).reshape(-1, 4),
            labels=torch.tensor(
                [(labels or {}).get(i, 0) for i in visible], dtype=torch.long
            ),
            instances_ids=torch.tensor(visible, dtype=torch.long),
            masks=BitmapMasks(masks, *img_shape),
        )
        frames.append(frame)
    sample = TrackDataSample()
    sample.video_data_samples = frames
    return sample
