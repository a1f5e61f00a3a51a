"""What every config of the repository has to keep to."""

import re
from collections import Counter

import pytest
from mmdet.utils import register_all_modules
from mmengine.config import Config

import mmtaformer  # noqa: F401

from ..helpers.config_files import BASES, CONFIGS, name_of, unknown_keys, unused_names
from ..helpers.golden import REPO_ROOT

PROJECT_CONFIGS = [path for path in CONFIGS if "projects" in path.parts]


@pytest.fixture(scope="module", autouse=True)
def _registered():
    register_all_modules(init_default_scope=True)


@pytest.mark.parametrize("path", BASES + CONFIGS, ids=name_of)
def test_names_are_read(path):
    assert unused_names(path) == []


@pytest.mark.parametrize("path", CONFIGS, ids=name_of)
def test_config(path):
    cfg = Config.fromfile(path)
    assert unknown_keys(cfg) == []
    check_size_in_name(path, cfg)
    if cfg.load_from is not None:
        check_source(cfg.load_from)


def check_size_in_name(path, cfg):
    """GPUs, clips per GPU and epochs are those of the name."""
    base_batch_size = cfg.auto_scale_lr.base_batch_size
    named = re.search(r"_(\d+)xb(\d+)-(\d+)e_", path.stem)
    if named is None:
        return
    gpus, clips, epochs = map(int, named.groups())
    assert cfg.train_dataloader.batch_size == clips
    assert base_batch_size == gpus * clips
    assert cfg.train_cfg.max_epochs == epochs
    assert cfg.param_scheduler[-1].end == epochs
    assert max(cfg.param_scheduler[-1].milestones) < epochs


def check_source(load_from):
    """A checkpoint that fine-tuning starts from is the last one of a config."""
    folder, config, checkpoint = load_from.split("/")
    assert folder == "work_dirs"
    row = config.removesuffix("_coco-pseudo-clips")
    if row in {path.stem for path in PROJECT_CONFIGS}:
        config = "taformer_r50_4xb4-24e_coco-pseudo-clips"  # varied as the row is
    (source,) = [path for path in CONFIGS if path.stem == config]
    epochs = Config.fromfile(source).train_cfg.max_epochs
    assert checkpoint == f"epoch_{epochs}.pth"


def test_names_are_unique():
    counts = Counter(path.stem for path in CONFIGS)
    assert [name for name, count in counts.items() if count > 1] == []


@pytest.mark.parametrize("path", PROJECT_CONFIGS, ids=name_of)
def test_rows_of_the_paper_are_short(path):
    assert len(path.read_text().splitlines()) < 15


TAFORMER = "configs/taformer/taformer_r50_4xb4-6e_youtubevis2019.py"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("optim_wraper = dict(clip_grad=None)", "optim_wraper"),
        ("max_epochs = 3", "max_epochs"),
        ("learning_rate = 1e-3\nscale = learning_rate", "scale"),
    ],
)
def test_misspelt_names_are_found(tmp_path, text, wrong):
    path = tmp_path / "child.py"
    path.write_text(f"_base_ = {str(REPO_ROOT / TAFORMER)!r}\n{text}\n")
    assert unused_names(path) == [wrong]


@pytest.mark.parametrize(
    "wrong",
    [
        "train_cfg.max_epoch",
        "optim_wrapper.clip_gard",
        "optim_wrapper.paramwise_cfg.custom_key",
        "model.test_cfg.frames_per_chunks",
        "model.encoder.layer_cfg.self_attn_cfg.num_temporal_pionts",
        "model.bbox_head.loss_contrastive.temperatures",
        "train_dataloader.dataset.check_file",
        "train_dataloader.dataset.pipeline.0.frames",
        "auto_scale_lr.batch_size",
    ],
)
def test_misspelt_keys_are_found(wrong):
    cfg = Config.fromfile(REPO_ROOT / TAFORMER)
    cfg.merge_from_dict({wrong: 1})
    assert unknown_keys(cfg) == [f".{wrong}"]
