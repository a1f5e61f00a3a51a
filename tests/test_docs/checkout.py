"""A stand-in for a clone with data, in which commands of the pages run as written."""

import itertools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope

from ..helpers import released
from ..helpers.config_files import CONFIGS
from ..helpers.golden import REPO_ROOT
from ..helpers.released import Sizes, random_state
from ..helpers.small_configs import small_config, write_data

FOLDERS = (
    "configs",
    "projects",
    "tools",
    "docs",
    "requirements",
    "mmtaformer",
    "tests",
)
FILES = ("pyproject.toml", "hatch_build.py", ".pre-commit-config.yaml")
TINY = "configs/taformer/taformer_tiny_synthvis.py"
# What `small_model` makes of the models, in the letters of the released code.
SMALL = Sizes(
    dims=64,
    heads=4,
    encoder_points=4,
    decoder_points=4,
    feedforward=64,
    encoder_layers=2,
    decoder_layers=2,
    queries=8,
    in_channels=(64, 128, 256),
)


class Checkout:
    """Folders of the repository, data of a few frames, and what commands ask for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._numbers = itertools.count()
        for name in (*FOLDERS, *FILES):
            (root / name).symlink_to(REPO_ROOT / name)
        write_data(root / "data")

    def small(self, cfg: Config) -> Config:
        """The config with a small model and this data, for one epoch."""
        path = self.root / "given.py"
        cfg.dump(path)
        options = {key: cfg.get(key) for key in ("work_dir", "launcher", "resume")}
        small = small_config(path, self.root / "data")
        small.merge_from_dict({k: v for k, v in options.items() if v is not None})
        for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
            if small.get(name):
                small[name].dataset.indices = 1
        if small.get("train_cfg"):
            small.train_cfg.update(max_epochs=1, val_interval=2)
        small.default_hooks.checkpoint.save_best = None
        name = f"{self.root.name}_{next(self._numbers)}"
        small.experiment_name = small.visualizer.name = name
        if small.get("load_from"):
            small.load_from = str(self.checkpoint(small.load_from, small))
        return small

    def checkpoint(self, path: str, small: Config | None = None) -> Path:
        """The checkpoint of that name; made with random weights if there is none.

        One under `work_dirs` must be what its config leaves there; one under
        `checkpoints` is for the config that reads it.
        """
        target = self.root / path
        if target.is_file():
            return target
        named = re.search(r"work_dirs/([^/]+)/(?:epoch_(\d+)|random)\.pth$", path)
        if named is not None:
            cfg = Config.fromfile(find_config(named[1]))
            epochs = cfg.train_cfg.max_epochs
            assert named[2] in (None, str(epochs)), f"{path}: it trains {epochs} epochs"
            small = self.small(cfg)
        else:
            assert path.startswith("checkpoints/"), f"nothing makes {path}"
        assert small is not None
        target.parent.mkdir(parents=True, exist_ok=True)
        with DefaultScope.overwrite_default_scope("mmdet"):
            model = MODELS.build(small.model)
        torch.save(dict(state_dict=model.state_dict(), meta={}), target)
        return target

    def released_checkpoint(self, path: str) -> None:
        """A checkpoint as SeqFormer's released code writes it."""
        if (self.root / path).is_file():
            return
        shapes = released.seqformer(SMALL)
        shapes |= released.torchvision_resnet50("detr.backbone.0.body.")
        # Random, but not so large that a model with these weights diverges.
        state = {
            name: value if "running_var" in name else (value - 0.6) / 10
            for name, value in random_state(shapes).items()
        }
        for name in state:
            other = name.replace("transformer.decoder.bbox_embed", "bbox_embed")
            state[name] = state[other]
        torch.save(dict(model=state), self.root / path)

    def results(self, path: str, ground_truth: str) -> None:
        """Results that are the ground truth."""
        target = self.root / path
        if target.is_file():
            return
        content = json.loads((self.root / ground_truth).read_text())
        entries = [
            dict(
                video_id=annotation["video_id"],
                category_id=annotation["category_id"],
                score=0.9,
                segmentations=annotation["segmentations"],
            )
            for annotation in content["annotations"]
            if all(map(_is_compressed, annotation["segmentations"]))
        ]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(entries))

    def expand(self, text: str, placeholders: Mapping[str, str]) -> str:
        """Replace placeholders and `$(cat FILE)`, as the shell would."""
        for name, value in placeholders.items():
            text = re.sub(rf"(?<![\w.]){re.escape(name)}(?![\w.])", value, text)

        def content(found: re.Match) -> str:
            folder, _, name = found[1].rpartition("/")
            assert name == "last_checkpoint"
            if (self.root / found[1]).is_file():
                return (self.root / found[1]).read_text()
            return str(self.checkpoint(f"{folder}/random.pth"))

        return re.sub(r"\$\(cat ([^)]+)\)", content, text)


def _is_compressed(segmentation: Any) -> bool:
    """Whether a segmentation can stand in a results file as it is."""
    if segmentation is None:
        return True
    return isinstance(segmentation, dict) and isinstance(segmentation["counts"], str)


def find_config(stem: str) -> Path:
    """The config of the repository with that name."""
    found = [path for path in CONFIGS if path.stem == stem]
    assert found, f"no config is named {stem}"
    return found[0]
