"""A part of the model, trained on features that are given."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from torch import Tensor

from mmtaformer.models.structures import ClipFeatures
from mmtaformer.utils.launch import require_file
from mmtaformer.utils.launch.options import check_options

from ..paper import ROOT
from .videos import HEIGHT, WIDTH, Clips, make_videos, training_frames

CONFIG = ROOT / "configs/taformer/taformer_tiny_synthvis-identity.py"
STRIDE = 8  # pixels between tokens


class Trial(ABC):
    """A part of the model and the features that it is trained on.

    Args:
        config: Config of a small TAFormer, see :func:`read_config`.
        task: One of :data:`.videos.TASKS`.
        seed: Of the weights, the videos and the noise.
    """

    # Layers through which this part looks at other frames.
    temporal_layers: ClassVar[tuple[type, ...]]

    def __init__(self, config: Config, task: str, seed: int) -> None:
        self.task = task
        self.rng = np.random.default_rng(seed)
        torch.manual_seed(seed)
        self.model = MODELS.build(config.model)
        self.model.init_weights()
        self.optim_wrapper = config.optim_wrapper
        channels = self.model.decoder.embed_dims
        self.code = torch.randn(5, channels, generator=torch.Generator().manual_seed(0))

    @abstractmethod
    def loss(self, clips: Clips) -> Tensor:
        """What is minimized, a scalar."""

    @abstractmethod
    def ious(self, clips: Clips, rng: np.random.Generator) -> Tensor:
        """(B, T, n) IoU of what is found with what is there; noise is drawn of rng."""

    def features(self, clips: Clips, rng: np.random.Generator) -> ClipFeatures:
        """The signals among noise."""
        tokens = clips.signals @ self.code
        noise = rng.standard_normal(tokens.shape, dtype=np.float32)
        tokens = tokens + 0.3 * torch.from_numpy(noise)
        return self.model.embed(tokens, ((HEIGHT, WIDTH),), frame_ids=clips.frame_ids)

    def train(self, steps: int, batch: int = 5) -> None:
        """Train with the config's optimizer, in one cycle of its learning rates."""
        optim_wrapper = build_optim_wrapper(self.model, self.optim_wrapper)
        optimizer = optim_wrapper.optimizer
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            [group["lr"] for group in optimizer.param_groups],
            total_steps=steps,
            pct_start=0.1,
        )
        for _ in range(steps):
            videos = make_videos(self.task, batch, self.rng)
            clips = videos.select(training_frames(batch, self.rng))
            optim_wrapper.update_params(self.loss(clips))
            schedule.step()

    @torch.no_grad()
    def test(self, count: int = 256) -> tuple[float, float]:
        """Mean IoU in whole videos, in percent.

        Args:
            count: How many videos; they are the same for all trials of a task.

        Returns:
            Where the frame says what is asked, and where it does not.
        """
        rng = np.random.default_rng(10**6)
        clips = make_videos(self.task, count, rng)
        ious = self.ious(clips, rng)
        shown = clips.shown
        return 100 * ious[shown].mean().item(), 100 * ious[~shown].mean().item()


def read_config(path: str, options: dict[str, Any]) -> Config:
    """The config of a small TAFormer, for one level of features.

    Args:
        path: The config.
        options: Values that replace its own.

    Raises:
        UsageError: If there is no such file, or an option would change nothing.
    """
    require_file(path, "config")
    config = Config.fromfile(path)
    check_options(config, options)
    config.merge_from_dict(
        {
            "model.num_feature_levels": 1,
            "model.backbone.num_stages": 2,
            "model.backbone.out_indices": (1,),
            "model.backbone.strides": (1, 2),
            "model.backbone.dilations": (1, 1),
            "model.bbox_head.mask_head.num_levels": 1,
            "model.bbox_head.mask_head.stride": STRIDE,
            **options,
        }
    )
    return config
