"""A model from config and weights, and what it finds in a video."""

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.structures import TrackDataSample
from mmengine.config import Config
from mmengine.logging import MMLogger, print_log
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.runner import load_state_dict
from torch import nn

from mmtaformer.utils.errors import UsageError

from .checkpoints import read_weights
from .frame_pipeline import build_pipeline
from .zoo import find_model

ConfigType: TypeAlias = "str | os.PathLike[str] | Config"


def init_model(
    config: ConfigType,
    checkpoint: str | os.PathLike[str] | None = None,
    device: str | torch.device | None = None,
    cfg_options: dict[str, Any] | None = None,
) -> nn.Module:
    """Build a model for inference.

    Args:
        config: Path of a config, its content, or a name that :func:`list_models`
            gives, whose published weights are used if there are any.
        checkpoint: Weights, as ``.pth`` or ``.safetensors``; None for those that
            belong to the name, else for weights drawn at random.
        device: None for a GPU if there is one, else the processor.
        cfg_options: Values that replace those of the config, such as
            ``{"model.test_cfg.max_per_video": 20}``.

    Returns:
        The model in evaluation mode, with ``cfg``, its config, and ``dataset_meta``,
        whose ``classes`` name the labels.

    Raises:
        FileNotFoundError: If a file does not exist.
        UsageError: If the name is unknown, or the weights do not fit the config.
        DataError: If the checkpoint cannot be read.
    """
    cfg, published = _load_config(config)
    if cfg_options:
        cfg.merge_from_dict(cfg_options)
    checkpoint = checkpoint or published
    init_default_scope(cfg.get("default_scope", "mmdet"))
    # The checkpoint, or chance, fills the backbone as well: nothing is downloaded.
    if cfg.model.get("backbone", {}).get("init_cfg") is not None:
        cfg.model.backbone.init_cfg = None
    model: Any = revert_sync_batchnorm(MODELS.build(cfg.model))
    classes = cfg.get("metainfo", {}).get("classes")
    if checkpoint is None:
        with quiet():  # mmengine lists every parameter
            model.init_weights()
        print_log(
            "No checkpoint is given: weights are random.", "current", logging.WARNING
        )
    else:
        classes = _load_weights(model, checkpoint) or classes
    model.cfg = cfg
    model.dataset_meta = {"classes": tuple(classes or _number_classes(model))}
    return model.to(device or best_device()).eval()


def inference_video(model: nn.Module, frames: Iterable[np.ndarray]) -> TrackDataSample:
    """Find the instances of a whole video at once, as the paper does.

    Args:
        model: What :func:`init_model` returned.
        frames: BGR, uint8, (H, W, 3), all of one size, or an array (T, H, W, 3).

    Returns:
        The video: each of its ``video_data_samples`` has ``pred_track_instances`` in
        pixels of the given frames.

    Raises:
        DataError: If there are no frames, or they differ in size.
    """
    batch = build_pipeline(model.cfg)(frames)
    detector: Any = model  # a BaseModel, whose step is not a tensor to mypy
    with torch.no_grad():
        return detector.test_step(batch)[0]


def best_device() -> torch.device:
    """A GPU if there is one, else the processor."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    mps = getattr(torch.backends, "mps", None)
    return torch.device("mps" if mps and mps.is_available() else "cpu")


@contextmanager
def quiet() -> Iterator[None]:
    """Let mmengine's logger say nothing below a warning."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _load_config(config: ConfigType) -> tuple[Config, str | None]:
    """A copy of the config, and the published weights of a name."""
    if isinstance(config, Config):
        return config.copy(), None
    if isinstance(config, dict):
        return Config(config), None
    if str(config).endswith((".py", ".json", ".yml", ".yaml")):
        if not Path(config).is_file():
            raise FileNotFoundError(
                f"There is no config {config} (looked from {Path.cwd()}); check the "
                "path."
            )
        return Config.fromfile(config), None
    path, weights = find_model(str(config))
    return Config.fromfile(path), weights


def _load_weights(
    model: nn.Module, checkpoint: str | os.PathLike[str]
) -> list[str] | None:
    """Fill a model; return the classes that the checkpoint names."""
    state, meta = read_weights(checkpoint)
    own = model.state_dict()
    unfit = [
        key
        for key, value in own.items()
        if key not in state or state[key].shape != value.shape
    ]
    if unfit:
        raise UsageError(
            f"{checkpoint} is of another model than the config: {len(unfit)} of its "
            f"{len(own)} weights are missing or have another shape, such as "
            f"{unfit[0]}."
        )
    load_state_dict(model, state, strict=False)
    return (meta.get("dataset_meta") or {}).get("classes")


def _number_classes(model: nn.Module) -> list[str]:
    head = getattr(model, "bbox_head", None)
    return [f"class {label}" for label in range(getattr(head, "num_classes", 1))]
