"""Build hook: what `mim` and `mmtaformer::` configs read lies under mmtaformer/.mim.

The entries of mim's metafile say what the names of the configs and
projects/taformer/paper.yml say; `python hatch_build.py` prints them.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SHIPPED = ("configs", "demo", "projects", "tools", "model-index.yml")
SUFFIXES = {".md", ".mp4", ".py", ".safetensors", ".sh", ".yml"}
METAFILE = "metafile.yml"  # beside model-index.yml, which names it

_SCHEDULE = re.compile(r"_(?P<gpus>\d+)xb(?P<clips>\d+)-(?P<epochs>\d+)e_")
# What a name of a config ends with, by the data sets that it is trained on.
_DATA_SETS = {
    "coco-pseudo-clips": ["COCO"],
    "joint-coco-youtubevis2019": ["COCO", "YouTube-VIS 2019"],
    "joint-coco-youtubevis2021": ["COCO", "YouTube-VIS 2021"],
    "youtubevis2019": ["YouTube-VIS 2019"],
    "youtubevis2021": ["YouTube-VIS 2021"],
    "synthvis": ["SynthVIS"],
    "synthvis-deform": ["SynthVIS"],
    "synthvis-identity": ["SynthVIS"],
    "cells": ["Cell Tracking Challenge"],
}
_TRAINING = ["AdamW", "Gradient Clip", "Multi Scale Train"]
_COLLECTIONS = {
    "seqformer": dict(
        Name="SeqFormer",
        Paper="SeqFormer: Sequential Transformer for Video Instance Segmentation",
        Architecture=["Deformable DETR", "Dynamic Convolution"],
    ),
    "taformer": dict(
        Name="TAFormer",
        Paper="Towards Robust Video Instance Segmentation with Temporal-Aware "
        "Transformer",
        Architecture=[
            "Spatio-Temporal Deformable Encoder",
            "Temporal Self-Attention",
            "Contrastive Loss",
        ],
    ),
}


class MimBuildHook(BuildHookInterface):
    """Carries configs and tools in a wheel, links them in an editable install."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        present = [name for name in SHIPPED if (root / name).exists()]
        if version == "editable":
            link_into_package(root, present)
            write_metafile(root, root / "mmtaformer" / ".mim" / METAFILE)
            return
        for path in shipped_files(root, present):
            # What .gitignore names, such as the configs that a run leaves behind.
            if not self.build_config.path_is_excluded(path):
                build_data["force_include"][path] = f"mmtaformer/.mim/{path}"
        metafile = Path(self.directory) / METAFILE
        write_metafile(root, metafile)
        build_data["force_include"][str(metafile)] = f"mmtaformer/.mim/{METAFILE}"

    def finalize(
        self, version: str, build_data: dict[str, Any], artifact_path: str
    ) -> None:
        (Path(self.directory) / METAFILE).unlink(missing_ok=True)


def shipped_files(root: Path, names: list[str]) -> Iterator[str]:
    """Finds what is shipped under `names`, as paths from the root of the checkout."""
    for name in names:
        for path in sorted([root / name, *(root / name).rglob("*")]):
            if path.is_file() and path.suffix in SUFFIXES:
                yield path.relative_to(root).as_posix()


def link_into_package(root: Path, names: list[str]) -> None:
    """Links `names` of the checkout into mmtaformer/.mim, so that edits count."""
    mim_dir = root / "mmtaformer" / ".mim"
    mim_dir.mkdir(exist_ok=True)
    for name in names:
        link = mim_dir / name
        link.unlink(missing_ok=True)
        link.symlink_to(Path("..", "..", name))


def write_metafile(root: Path, path: Path) -> None:
    """Writes the metafile of a checkout."""
    text = yaml.safe_dump(metafile(root), sort_keys=False, allow_unicode=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def metafile(root: Path) -> dict[str, Any]:
    """What mim and mmengine know of the models: collections, and an entry a config."""
    results = published_results(root)
    configs = sorted(
        path
        for pattern in ("configs/*/*.py", "projects/*/configs/*.py")
        for path in root.glob(pattern)
        if "_base_" not in path.parts
    )
    return {
        "Collections": [
            {
                "Name": collection["Name"],
                "Metadata": {
                    "Training Techniques": list(_TRAINING),
                    "Architecture": collection["Architecture"],
                },
                "Paper": collection["Paper"],
                "README": "projects/taformer/README.md",
                "Code": "mmtaformer/models/detectors/taformer.py",
            }
            for collection in _COLLECTIONS.values()
        ],
        "Models": [entry(path, root, results) for path in configs],
    }


def entry(path: Path, root: Path, results: dict[str, Any]) -> dict[str, Any]:
    """The entry of a config; a row of the paper is what it inherits from."""
    name = named_config(path).stem
    metadata: dict[str, Any] = {"Training Data": training_data(name)}
    config = path.relative_to(root).as_posix()
    if "_coco-pretrain_" in name or config.startswith("projects/"):
        metadata["Pretraining Data"] = "COCO"
    schedule = _SCHEDULE.search(name)
    if schedule is not None:
        numbers = {key: int(value) for key, value in schedule.groupdict().items()}
        metadata["Epochs"] = numbers["epochs"]
        metadata["Batch Size"] = numbers["gpus"] * numbers["clips"]
    model: dict[str, Any] = {
        "Name": path.stem,
        "In Collection": _COLLECTIONS[name.partition("_")[0]]["Name"],
        "Config": config,
        "Metadata": metadata,
    }
    if config in results:
        model["Results"] = [results[config]]
    return model


def named_config(path: Path) -> Path:
    """The config below configs/ that a row of a table inherits from, or is."""
    while path.parents[1].name != "configs":
        base = re.search(r'^_base_ = \(?\s*"(.+\.py)"', path.read_text("utf-8"), re.M)
        assert base is not None, path
        path = (path.parent / base[1]).resolve()
    return path


def training_data(name: str) -> str | list[str]:
    """Data sets of the name of a config, one of them as a string."""
    found = next(sets for end, sets in _DATA_SETS.items() if name.endswith("_" + end))
    return found[0] if len(found) == 1 else list(found)


def published_results(root: Path) -> dict[str, Any]:
    """The paper's figures by the path of the config."""
    path = root / "projects" / "taformer" / "paper.yml"
    if not path.is_file():
        return {}
    results = {}
    for table in yaml.safe_load(path.read_text("utf-8"))["tables"].values():
        for row in table["rows"]:
            folder = "" if "/" in row["config"] else "projects/taformer/configs/"
            metrics = zip(table["metrics"], row["figures"], strict=True)
            results[folder + row["config"]] = {
                "Task": "Video Instance Segmentation",
                "Dataset": table["dataset"],
                "Metrics": {f"{key} in the Paper": value for key, value in metrics},
            }
    return results


if __name__ == "__main__":
    checkout = Path(__file__).resolve().parent
    yaml.safe_dump(metafile(checkout), sys.stdout, sort_keys=False, allow_unicode=True)
