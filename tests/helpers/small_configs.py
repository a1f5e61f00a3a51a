"""Configs made small enough to run in a second, and data for them to run on."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mmdet.datasets import YouTubeVISDataset
from mmengine.config import Config

from mmtaformer.synthvis.shapes import CLASSES
from mmtaformer.synthvis.texture import COLOURS

from .coco_factory import write_coco
from .ytvis_factory import moving_video, rectangle, write_dataset

SIZE = (96, 64)  # width, height
EMBED_DIMS = 64


def small_config(path: Path, data: Path) -> Config:
    """A config that runs in a second, on the data that :func:`write_data` wrote.

    Numbers of layers, channels, queries and pixels are reduced; what the parts are
    and how they are put together is left alone.
    """
    cfg = Config.fromfile(path)
    small_model(cfg.model)
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        if cfg.get(loader):
            cfg[loader].update(num_workers=0, persistent_workers=False)
            _each(cfg[loader], _small_transform)
            _each(cfg[loader], _keep_as_list)
    cfg.train_dataloader.batch_size = min(cfg.train_dataloader.batch_size, 2)
    _each(cfg._cfg_dict, lambda node: _move_data(node, data))
    return cfg


def small_model(model: Any) -> None:
    """Reduce the model of a config in place."""
    model.num_queries = 8
    backbone = model.backbone
    backbone.init_cfg = None
    if backbone.type == "SwinTransformer":
        backbone.update(embed_dims=48, depths=(2, 2, 2, 2), window_size=4)
        backbone.convert_weights = False
    else:
        backbone.base_channels = 8
    model.neck.pop("in_channels", None)  # follows the backbone
    model.neck.out_channels = EMBED_DIMS
    model.positional_encoding.num_feats = EMBED_DIMS // 2
    for part in (model.encoder, model.decoder, model.bbox_head):
        part.num_layers = 2
        _each(part, _small_layer)


def _small_layer(node: dict) -> None:
    sizes = dict(embed_dims=EMBED_DIMS, num_heads=4, feedforward_channels=64)
    for key in sizes.keys() & node.keys():
        node[key] = sizes[key]


def _small_transform(node: dict) -> None:
    sizes = dict(
        RandomChoiceResize=dict(scales=[SIZE, (80, 56)]),
        RandomCrop=dict(crop_size=(40, 60)),
        Resize=dict(scale=SIZE),
    )
    for key, value in sizes.get(node.get("type"), {}).items():
        assert key in node
        node[key] = value


def _keep_as_list(node: dict) -> None:
    """Without the garbage collection ahead of mmengine's serialization."""
    if node.get("type") in ("YTVISDataset", "CocoPseudoClipDataset"):
        node["serialize_data"] = False


def _move_data(node: dict, data: Path) -> None:
    for key, value in node.items():
        if isinstance(value, str) and value.startswith("data/"):
            node[key] = str(data / value.removeprefix("data/"))
        if isinstance(value, str) and value.startswith("work_dirs/"):
            node[key] = str(data.parent / value)


def _each(node: Any, change: Callable[[dict], None]) -> None:
    """Call a function on every dictionary inside a part of a config."""
    if isinstance(node, dict):
        change(node)
    for child in _children(node):
        _each(child, change)


def _children(node: Any) -> Iterator[Any]:
    if isinstance(node, dict):
        yield from node.values()
    elif isinstance(node, list | tuple):
        yield from node


def write_data(root: Path) -> None:
    """Write a tiny data set for every ``data_root`` of the configs."""
    for year in ("2019", "2021"):
        YouTubeVISDataset.set_dataset_classes(year)
        names = YouTubeVISDataset.METAINFO["classes"]
        for split in ("train", "valid"):
            _write_videos(root / f"youtube_vis_{year}", split, names)
    for split in ("train", "val"):
        for name in ("synthvis", "synthvis_deform"):
            _write_videos(root / name, split, CLASSES)
        _write_videos(root / "synthvis_identity", split, COLOURS)
        _write_videos(root / "cells", split, ["nucleus"])
    masks = [rectangle(SIZE, 20, 20, 50, 8), rectangle(SIZE, 40, 34, 20, 20)]
    instances = [(name, m, "rle", 0) for name, m in zip(("cat", "car"), masks)]
    write_coco(root / "coco", {1: instances, 2: instances[:1]})


def _write_videos(root: Path, split: str, names: Any) -> None:
    """Two videos in the official format, with the given list of classes."""
    videos = [
        moving_video(0, 4, size=SIZE),
        moving_video(1, 6, size=SIZE, first_instance_id=2),
    ]
    content = write_dataset(root, videos, split)
    # The factory has categories 0 and 7.
    ids = [7, *(k for k in range(len(names) + 1) if k != 7)][: len(names)]
    content["categories"] = [
        dict(id=id, name=name) for id, name in zip(sorted(ids), names, strict=True)
    ]
    for annotation in content["annotations"]:
        if annotation["category_id"] not in ids:  # of a single class
            annotation["category_id"] = ids[0]
    (root / f"{split}.json").write_text(json.dumps(content))
