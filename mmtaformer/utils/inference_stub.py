"""To be replaced by ``mmtaformer.apis`` as soon as that is there: same signatures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import torch
from mmcv.transforms import Compose
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from torch import nn

from .checkpoint import load_checkpoint_file
from .errors import UsageError


def init_model(
    config: str | Path | Config,
    checkpoint: str | Path | None = None,
    device: str | None = None,
    cfg_options: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Build a model."""
    if not isinstance(config, Config):
        if not Path(config).is_file():
            raise FileNotFoundError(
                f"There is no config {config} (looked from {Path.cwd()}); check it."
            )
        config = Config.fromfile(config)
    config.merge_from_dict(dict(cfg_options or {}))
    init_default_scope(config.get("default_scope", "mmdet"))
    model = MODELS.build(config.model)
    if checkpoint is not None:
        content = load_checkpoint_file(checkpoint)
        try:
            model.load_state_dict(content.get("state_dict", content))
        except RuntimeError as error:
            raise UsageError(f"{checkpoint} does not fit ({error})") from error
    model.cfg = config
    return model.to(device or "cpu").eval()


def inference_video(model: nn.Module, frames: Sequence[np.ndarray]) -> Any:
    """Predict the instances of a video of BGR frames."""
    pipeline = Compose(model.cfg.test_dataloader.dataset.pipeline)
    count = len(frames)
    with TemporaryDirectory() as folder:
        paths = [f"{folder}/{t:05d}.png" for t in range(count)]
        for path, frame in zip(paths, map(np.ascontiguousarray, frames), strict=True):
            cv2.imwrite(path, frame)
        data = dict(img_path=paths, img_id=list(range(count)))
        data.update(frame_id=list(range(count)), video_id=[0] * count)
        data.update(video_length=[count] * count, ori_video_length=[count] * count)
        batch = pseudo_collate([pipeline(data)])
    detector: Any = model  # its step is not a tensor to mypy
    with torch.no_grad():
        return detector.test_step(batch)[0]
