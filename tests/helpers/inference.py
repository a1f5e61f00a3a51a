"""A small model and its config, for tests of inference."""

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.runner import save_checkpoint

from mmtaformer.apis import init_model

from .golden import REPO_ROOT

CONFIG = REPO_ROOT / "configs" / "taformer" / "taformer_tiny_cells.py"
SMALL = {
    "model.num_queries": 6,
    "model.backbone.base_channels": 8,
    "model.test_cfg.max_per_video": 4,
}
# Frames of the model's input; the test pipeline brings videos to this size.
SIZE = (64, 96)  # height, width


def small_config() -> Config:
    """The config of the cells with fewer channels and smaller frames."""
    config = Config.fromfile(CONFIG)
    config.merge_from_dict(SMALL)
    resize = config.test_dataloader.dataset.pipeline[0].transforms[1]
    resize.scale = SIZE[::-1]
    return config


def write_model(
    folder: Path, classes: tuple[str, ...] = ("nucleus",)
) -> tuple[Path, Path]:
    """Write the small config and weights that find something, and return both paths."""
    folder.mkdir(parents=True, exist_ok=True)
    config = small_config()
    path = folder / "small.py"
    config.dump(path)
    torch.manual_seed(0)
    model = init_model(config, device="cpu")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
        # Masks that are neither empty nor full.
        controller = model.bbox_head.mask_head.controller[-1]
        controller.bias.copy_(0.5 * torch.randn_like(controller.bias))
        controller.bias[-1] = 2.0
        for branch in model.bbox_head.cls_branches:  # scores around 0.6
            branch.bias.fill_(0.5)
    meta = {"dataset_meta": {"classes": classes}}
    save_checkpoint(
        {"state_dict": model.state_dict(), "meta": meta}, str(folder / "small.pth")
    )
    return path, folder / "small.pth"
