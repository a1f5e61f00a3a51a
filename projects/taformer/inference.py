"""A model from config and checkpoint, and what it computes on a video."""

import argparse
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import BaseDataset, pseudo_collate
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from torch import nn

from mmtaformer.models.structures import ClipFeatures, DecoderLayerOutput
from mmtaformer.utils.launch import UsageError, require_file


@dataclass(frozen=True)
class VideoOutput:
    """What a model computes on one video, where inference leaves it.

    Attributes:
        memory: Features of the last encoder layer, of one clip.
        output: Queries and boxes of the last decoder layer, of one clip.
        logits: (Q, classes) of the last layer.
    """

    memory: ClipFeatures
    output: DecoderLayerOutput
    logits: torch.Tensor


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that name models."""
    parser.add_argument(
        "--model",
        nargs=3,
        action="append",
        required=True,
        metavar=("NAME", "CONFIG", "CHECKPOINT"),
        help="a model and what it is called in the figure; may be given repeatedly",
    )
    parser.add_argument(
        "--device", default=get_device(), help="default: what this machine has"
    )


def load_model(config: str, checkpoint: str, device: str) -> tuple[nn.Module, Config]:
    """Build the model of a config with the weights of a checkpoint.

    Args:
        config: Path of the config.
        checkpoint: Path of the checkpoint.
        device: Where the model shall run.

    Returns:
        The model, ready for inference, and its config.

    Raises:
        FileNotFoundError: If a file does not exist.
        UsageError: If the checkpoint is broken or does not fit the config.
    """
    require_file(config, "config")
    require_file(checkpoint, "checkpoint")
    cfg = Config.fromfile(config)
    init_default_scope(cfg.get("default_scope", "mmdet"))
    model = MODELS.build(cfg.model)
    try:
        load_checkpoint(model, checkpoint, map_location="cpu", strict=True)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UsageError(
            f"the checkpoint {checkpoint} does not fit the config {config} ({reason}); "
            "give the config that it was trained with."
        ) from error
    return model.to(device).eval(), cfg


def open_videos(cfg: Config, ann_file: str, img_prefix: str) -> BaseDataset:
    """Open videos the way a config tests on them.

    Args:
        cfg: A config with a ``test_dataloader``.
        ann_file: JSON file in the YouTube-VIS format.
        img_prefix: Folder of the frames.

    Returns:
        The data set, with the test pipeline of the config.

    Raises:
        UsageError: If the file has another number of classes than the model.
    """
    spec = dict(cfg.test_dataloader.dataset)
    folders = dict(img_path=str(Path(img_prefix)))
    spec.update(data_root="", ann_file=ann_file, data_prefix=folders, test_mode=True)
    dataset = DATASETS.build(spec)
    found, expected = len(dataset.metainfo["classes"]), cfg.model.bbox_head.num_classes
    if found != expected:
        raise UsageError(
            f"{ann_file} has {found} classes, but the model of {cfg.filename} has "
            f"{expected}; give data with the classes that it was trained on."
        )
    return dataset


def run_video(model: nn.Module, dataset: BaseDataset, video_id: int) -> VideoOutput:
    """Run a model on one whole video, as testing does.

    Args:
        model: What :func:`load_model` returns.
        dataset: What :func:`open_videos` returns.
        video_id: Id of the video in its file.

    Returns:
        Intermediate results, on the device of the model.
    """
    index = next(
        i
        for i in range(len(dataset))
        if dataset.get_data_info(i)["video_id"] == video_id
    )
    seen: dict[str, Any] = {}

    def keep(name: str) -> Any:
        return lambda module, inputs, output: seen.update({name: output})

    hooks = [
        model.encoder.register_forward_hook(keep("memory")),
        model.decoder.register_forward_hook(keep("outputs")),
    ]
    try:
        with torch.inference_mode():
            model.test_step(pseudo_collate([dataset[index]]))
            output = seen["outputs"][-1]
            logits = model.bbox_head.cls_branches[-1](output.instance_query[0])
    finally:
        for hook in hooks:
            hook.remove()
    return VideoOutput(seen["memory"], output, logits)


def run_models(
    models: Sequence[Sequence[str]],
    device: str,
    ann_file: str,
    img_prefix: str,
    video_ids: Sequence[int],
) -> Iterator[tuple[str, nn.Module, BaseDataset, int, VideoOutput]]:
    """Run several models on several videos.

    Args:
        models: Name, config and checkpoint of each.
        device: Where they run.
        ann_file: JSON file in the YouTube-VIS format.
        img_prefix: Folder of the frames.
        video_ids: Ids of the videos.

    Yields:
        Name and model, the data set, id of the video and what the model computes.
    """
    for name, config, checkpoint in models:
        model, cfg = load_model(config, checkpoint, device)
        dataset = open_videos(cfg, ann_file, img_prefix)
        for video_id in video_ids:
            yield name, model, dataset, video_id, run_video(model, dataset, video_id)
