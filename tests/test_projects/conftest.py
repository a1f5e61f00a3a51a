"""The tools of projects/taformer, which import each other as scripts do."""

import sys
from pathlib import Path

import pytest
import torch

from ..helpers.golden import REPO_ROOT

PROJECT = REPO_ROOT / "projects" / "taformer"
if str(PROJECT) not in sys.path:
    sys.path.insert(0, str(PROJECT))


@pytest.fixture(scope="session")
def checkpoint(tiny_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of `tiny_config`, layer norms included, as in no new model."""
    from mmdet.registry import MODELS
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    init_default_scope("mmdet")
    torch.manual_seed(0)
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


def is_written(prefix: Path) -> bool:
    """Whether there are a PNG and a PDF of this name, and nothing else."""
    png, pdf = (prefix.with_name(f"{prefix.name}.{kind}") for kind in ("png", "pdf"))
    assert png.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert pdf.read_bytes()[:5] == b"%PDF-"
    return {path.name for path in prefix.parent.iterdir()} == {png.name, pdf.name}
