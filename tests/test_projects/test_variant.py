"""Small rows, made of the rows of the paper."""

import pytest
from mmengine.config import Config

import mmtaformer  # noqa: F401
from mmtaformer.utils.launch import UsageError
from projects.taformer import variant
from projects.taformer.ablation.rows import model_names, select_rows, small_configs

from ..helpers.golden import REPO_ROOT

TINY = REPO_ROOT / "configs/taformer/taformer_tiny_synthvis.py"
SEQFORMER = REPO_ROOT / "configs/seqformer/seqformer_tiny_synthvis.py"
ATTENTION = "model.encoder.layer_cfg.self_attn_cfg"
NO_CL = {"model.bbox_head.loss_contrastive": None}
ST_ENC = {**NO_CL, "model.decoder.temporal_self_attn": None}
# What each small model is, told without the rows of the paper.
EXPECTED = {
    "table3_st-enc": ST_ENC,
    "table3_st-enc_ta-dec": NO_CL,
    "table3_st-enc_ta-dec_cl": {},
    "table4_addition": {
        **ST_ENC,
        f"{ATTENTION}.fusion": dict(_delete_=True, type="AdditionFusion"),
    },
    "table4_concatenation": {
        **ST_ENC,
        f"{ATTENTION}.fusion": dict(_delete_=True, type="ConcatenationFusion"),
    },
    "table6_cl": {"model.bbox_head.contrastive_aux": False},
}


def test_models_of_the_small_rows():
    small = small_configs(select_rows((3, 4, 6), None), TINY)
    assert small.keys() == {"table3_baseline", *EXPECTED}
    seqformer = Config.fromfile(SEQFORMER)
    assert small["table3_baseline"].model == seqformer.model
    for name, options in EXPECTED.items():
        expected = Config.fromfile(TINY)
        expected.merge_from_dict(options)
        assert small[name].model == expected.model, name
    for cfg in small.values():
        for key in ("train_dataloader", "optim_wrapper", "load_from"):
            assert cfg[key] == seqformer[key]


def test_rows_of_one_model_share_its_name():
    names = {row.name: name for row, name in model_names().items()}
    assert len(names) == 14
    assert names["table4_dynamic-attention-fusion"] == "table3_st-enc"
    assert names["table6_no-cl"] == "table3_st-enc_ta-dec"
    full = ("table3_st-enc_ta-dec_cl", "table6_cl_aux", "table7_k-inter4")
    assert {names[name] for name in full} == {full[0]}
    assert len(set(names.values())) == 10


def test_table_7_needs_as_many_points_as_the_paper():
    rows = select_rows((7,), None)
    with pytest.raises(UsageError, match=r"has 4 .* has 2: .*num_temporal_points=4"):
        small_configs(rows, TINY)
    small = small_configs(rows, TINY, {f"{ATTENTION}.num_temporal_points": 4})
    points = [
        cfg.model.encoder.layer_cfg.self_attn_cfg.num_temporal_points
        for cfg in small.values()
    ]
    assert points == [1, 2, 3, 4]


def test_unknown_row():
    with pytest.raises(UsageError, match=r"no row tiny; choose of table3_baseline,"):
        select_rows((3,), ["tiny"])
    with pytest.raises(UsageError, match=r"no row tiny; choose of table3_baseline,"):
        variant.find_row("tiny")


def test_transfer():
    before = dict(a=1, b=dict(c=2, d=3, gone=4), e=[1], f=5)
    after = dict(a=1, b=dict(c=2, d=30), e=[2], g=dict(h=6))
    target = dict(a=7, b=dict(c=8, d=9, gone=10, i=11), e=[3], f=12, j=13)
    variant.transfer(before, after, target)
    assert target == dict(a=7, b=dict(c=8, d=30, i=11), e=[2], g=dict(h=6), j=13)


def test_pretraining_of_a_row(tmp_path, capsys):
    base = REPO_ROOT / "configs/taformer/taformer_r50_4xb4-24e_coco-pseudo-clips.py"
    out = tmp_path / "row.py"
    variant.main(["table7_k-inter1", str(base), str(out)])
    expected = Config.fromfile(base)
    expected.merge_from_dict({f"{ATTENTION}.num_temporal_points": 1})
    assert Config.fromfile(out).to_dict() == expected.to_dict()
