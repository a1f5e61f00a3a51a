from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope


@pytest.fixture(scope="session")
def checkpoint(tiny_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of `tiny_config`, layer norms included, as in no new model."""
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(Config.fromfile(tiny_config).model)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    path = tmp_path_factory.mktemp("checkpoints") / "random.pth"
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)
    return path


@pytest.fixture(scope="session")
def val_args(synthvis_root: Path) -> list[str]:
    """Ground truth and frames of the generated videos, as arguments of a figure."""
    frames = synthvis_root / "val" / "JPEGImages"
    return [str(synthvis_root / "val.json"), "--img-prefix", str(frames)]
