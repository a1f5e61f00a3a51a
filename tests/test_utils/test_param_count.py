"""The published parameter counts, to the last digit."""

import importlib.util

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

import mmtaformer  # noqa: F401
from mmtaformer.utils import param_count

from ..helpers.golden import REPO_ROOT, load_golden
from ..helpers.seqformer import build_model

TOOL = REPO_ROOT / "tools/analysis_tools/count_params.py"
CONFIGS = REPO_ROOT / "configs/_base_/models"
K_INTER = "encoder.layer_cfg.self_attn_cfg.num_temporal_points"

# Tables 1, 2 and 7.
PUBLISHED = [
    ("seqformer_r50", {}, "49.3"),
    ("seqformer_r101", {}, "68.4"),
    ("seqformer_swin-l-p4-w12", {}, "220.0"),
    ("taformer_r50", {}, "52.2"),
    ("taformer_r101", {}, "71.3"),
    ("taformer_swin-l-p4-w12", {}, "222.9"),
    ("taformer_r50", {K_INTER: 1}, "50.4"),
    ("taformer_r50", {K_INTER: 2}, "51.0"),
    ("taformer_r50", {K_INTER: 3}, "51.6"),
]


def build(name, options=()):
    model = Config(Config.fromfile(CONFIGS / f"{name}.py").model)
    model.merge_from_dict(dict(options))
    return param_count.build_skeleton(model._cfg_dict)


@pytest.mark.parametrize(("name", "options", "published"), PUBLISHED)
def test_published_counts(name, options, published):
    count = param_count.count_published(build(name, options))
    assert f"{count / 1e6:.1f}" == published


def test_skeletons_have_the_shapes_of_the_model():
    name = "taformer_tiny"
    skeleton = build(name)
    model = Config.fromfile(CONFIGS / f"{name}.py").model
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(model)
    shapes = [
        {key: value.shape for key, value in m.state_dict().items()}
        for m in (skeleton, model)
    ]
    assert shapes[0] == shapes[1]
    in_memory = sum(p.numel() for p in skeleton.parameters() if not p.is_meta)
    assert in_memory < 0.01 * param_count.count_trainable(skeleton)
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert param_count.count_trainable(skeleton) == trainable
    assert sum(param_count.count_parts(skeleton).values()) == trainable


def test_the_count_is_the_size_of_a_released_state_dict():
    meta, arrays = load_golden("seqformer_tiny.npz", "MMTAFORMER_GOLDEN")
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = build_model(meta)
    # The reference has neither a backbone nor unused class outputs.
    model.backbone = nn.Identity()
    outputs = len(model.bbox_head.cls_branches) * (meta["embed_dims"] + 1)
    released = sum(v.size for name, v in arrays.items() if name.startswith("sd/"))
    assert param_count.count_published(model) - 2 * outputs == released


def test_only_taformer_has_a_published_count():
    with pytest.raises(ValueError, match="has Linear; give a config of TAFormer"):
        param_count.count_published(nn.Linear(1, 1))


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("count_params", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_command_line(tool, capsys, monkeypatch):
    def download(*args, **kwargs):
        raise AssertionError("weights are not needed")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", download)
    monkeypatch.setattr("mmengine.runner.checkpoint.load_url", download)
    config = "configs/taformer/taformer_r50_4xb4-6e_youtubevis2019.py"
    tool.main([str(REPO_ROOT / config)])
    printed = capsys.readouterr().out
    assert "trainable parameters      50,698,433  50.7 M" in printed
    assert "as the paper counts       52,220,581  52.2 M" in printed
    options = f"model.{K_INTER}=1"
    tool.main([str(REPO_ROOT / config), "--cfg-options", options])
    assert "50.4 M" in capsys.readouterr().out


def test_command_line_without_a_config(tool):
    with pytest.raises(SystemExit, match=r"^error: There is no config nowhere\.py"):
        tool.main(["nowhere.py"])
