"""What tests of several parts of the project use."""

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from unittest import mock

import pytest

from .helpers.golden import REPO_ROOT

TINY_CONFIG = """
_base_ = "{base}"

data_root = "{data_root}/"

model = dict(
    num_queries=5,
    backbone=dict(base_channels=8),
    neck=dict(in_channels=[16, 32, 64]),
    encoder=dict(num_layers=1, layer_cfg=dict(dropout=0.1)),
    decoder=dict(num_layers=2, layer_cfg=dict(dropout=0.1)),
    bbox_head=dict(num_layers=2),
)
train_dataloader = dict(batch_size=2, dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + "val.json")
test_evaluator = val_evaluator
train_cfg = dict(max_epochs=2, val_interval=2)
"""


@pytest.fixture(autouse=True, scope="package")
def _restored_environment():
    """Takes back what the tools set in the environment of the process."""
    with mock.patch.dict(os.environ):
        yield


@pytest.fixture(autouse=True)
def _scope_of_mmdet():
    """Whatever ran before in this process, names are those of mmdet's registries."""
    from mmengine.registry import init_default_scope

    import mmtaformer  # noqa: F401

    init_default_scope("mmdet")


@pytest.fixture(scope="session")
def synthvis_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated data set of a few small videos, with splits train and val."""
    from mmtaformer.synthvis import write_synthvis

    root = tmp_path_factory.mktemp("synthvis")
    for split, num_videos in (("train", 3), ("val", 2)):
        write_synthvis(root, split, num_videos, 4, (96, 64), 0, "easy")
    return root


@pytest.fixture(scope="session")
def tiny_config(synthvis_root: Path) -> Path:
    """A TAFormer that trains for two epochs of six batches in seconds."""
    base = REPO_ROOT / "configs" / "taformer" / "taformer_tiny_synthvis.py"
    path = synthvis_root / "tiny_taformer.py"
    path.write_text(TINY_CONFIG.format(base=base, data_root=synthvis_root))
    return path


@pytest.fixture(scope="session")
def load_tool() -> Callable[[str], ModuleType]:
    """Imports a script by its path under tools/."""

    def load(name: str) -> ModuleType:
        path = REPO_ROOT / "tools" / name
        spec = importlib.util.spec_from_file_location(f"tool_{path.stem}", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def trained_dir(
    tiny_config: Path,
    load_tool: Callable[[str], ModuleType],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The work dir of a complete training run of `tiny_config`."""
    work_dir = tmp_path_factory.mktemp("work_dirs") / "trained"
    with mock.patch.dict(os.environ):
        load_tool("train.py").main([str(tiny_config), "--work-dir", str(work_dir)])
    return work_dir
