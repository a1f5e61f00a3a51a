"""Rows of the class branches; weights of four levels in a model of one."""

import dataclasses

import pytest
import torch

from mmtaformer.converters import (
    Conversion,
    convert_seqformer,
    initialize_temporal,
    keep_one_level,
    load_converted,
    select_class_rows,
)
from mmtaformer.utils.errors import DataError

from ..helpers.converted_models import build
from ..helpers.released import Sizes, seqformer, stored_twice

SIZES = Sizes(classes=7)
# C3, C4, C5 are stages 1, 2, 3 of the backbone.
STAGES = {"C3": 1, "C4": 2, "C5": 3}


def converted():
    state = stored_twice(seqformer(SIZES))
    return state, convert_seqformer(state)


def one_level_model(level, name="seqformer_tiny", **sizes):
    stage = STAGES[level]
    sizes = dataclasses.replace(
        SIZES, levels=1, in_channels=(SIZES.in_channels[stage - 1],), **sizes
    )
    return build(
        name,
        sizes,
        **{
            "backbone.out_indices": (stage,),
            "bbox_head.mask_head.num_levels": 1,
            "bbox_head.mask_head.stride": 2 ** (stage + 2),
        },
    )


@pytest.mark.parametrize("level", ["C3", "C4", "C5"])
def test_weights_of_the_level(level):
    state, conversion = converted()
    model = one_level_model(level)
    keep_one_level(conversion, level, model)
    missing = load_converted(conversion, model)
    assert all(name.startswith("backbone.") for name in missing)

    index = STAGES[level] - 1
    result = model.state_dict()
    assert result["level_embed"].equal(
        state["detr.transformer.level_embed"][index : index + 1]
    )
    for source, target, points in (
        ("encoder.layers.1.self_attn", "encoder.layers.1.self_attn", 2),
        ("decoder.layers.2.cross_attn", "decoder.layers.2.cross_attn", 4),
    ):
        offsets = state[f"detr.transformer.{source}.sampling_offsets.weight"]
        offsets = offsets.view(SIZES.heads, 4, points, 2, SIZES.dims)[:, index]
        assert result[f"{target}.sampling_offsets.weight"].equal(
            offsets.reshape(-1, SIZES.dims)
        )
        weights = state[f"detr.transformer.{source}.attention_weights.bias"]
        weights = weights.view(SIZES.heads, 4, points)[:, index]
        assert result[f"{target}.attention_weights.bias"].equal(weights.flatten())
    assert result["neck.convs.0.conv.weight"].equal(
        state[f"detr.input_proj.{index}.0.weight"]
    )
    mask_conv = {"C3": "dcn", "C4": "lay4", "C5": "lay3"}[level]
    assert result["bbox_head.mask_head.lateral_convs.0.weight"].equal(
        state[f"mask_head.{mask_conv}.weight"]
    )
    time_weights = "decoder.layers.0.time_attention_weights.weight"
    assert result[time_weights].equal(state[f"detr.transformer.{time_weights}"])


@torch.no_grad()
def test_it_runs_as_taformer():
    _, conversion = converted()
    model = one_level_model("C4", "taformer_tiny")
    keep_one_level(conversion, "C4", model)
    initialize_temporal(conversion, model, "inflate")
    load_converted(conversion, model)
    output = model(torch.randn(1, 3, 3, 64, 96), mode="tensor")[-1]
    assert output.boxes.isfinite().all()


def test_nothing_to_reduce():
    _, conversion = converted()
    model = one_level_model("C4")
    keep_one_level(conversion, "C4", model)
    with pytest.raises(DataError, match=r"--one-level C4 .* has 1"):
        keep_one_level(conversion, "C4", model)


def test_a_model_of_other_layers():
    _, conversion = converted()
    model = one_level_model("C3", encoder_layers=2)
    name = r"encoder\.layers\.2\.self_attn\.sampling_offsets"
    with pytest.raises(DataError, match=f"'{name}.* does not fit the model"):
        keep_one_level(conversion, "C3", model)


def class_branch(rows):
    """One class branch whose row r holds r."""
    conversion = Conversion()
    for part, shape in (("weight", (rows, 3)), ("bias", (rows, 1))):
        value = torch.arange(rows)[:, None].expand(shape).float()
        conversion.put(
            f"class_embed.0.{part}", f"bbox_head.cls_branches.0.{part}", value
        )
    return conversion


def rows_of(conversion):
    rows = [value[:, 0].tolist() for value in conversion.state_dict.values()]
    assert rows[0] == rows[1]
    return rows[0]


def test_youtube_vis_ids_become_labels():
    conversion = class_branch(42)
    select_class_rows(conversion)
    assert rows_of(conversion) == list(range(1, 41))
    note = conversion.entries["bbox_head.cls_branches.0.weight"].note
    assert "rows 0, 41" in note


def test_coco_ids_become_labels():
    """COCO's first category is person (1), the last toothbrush (90); the 12th is a stop
    sign (13), for there is no category 12."""
    conversion = class_branch(91)
    select_class_rows(conversion)
    rows = rows_of(conversion)
    assert len(rows) == 80
    assert (rows[0], rows[10], rows[11], rows[-1]) == (1, 11, 13, 90)
    # dining table, toilet, tv, laptop, mouse
    assert rows[60:65] == [67, 70, 72, 73, 74]


def test_keep_drop_and_labels():
    for mode, raw in (("keep", True), ("auto", False)):
        conversion = class_branch(42)
        select_class_rows(conversion, mode, raw)
        assert rows_of(conversion) == list(range(42))
    conversion = class_branch(42)
    select_class_rows(conversion, "drop")
    assert not conversion.state_dict
    assert [entry.source for entry in conversion.left_out] == [
        "class_embed.0.weight",
        "class_embed.0.bias",
    ]


def test_unknown_number_of_rows():
    with pytest.raises(DataError, match=r"'class_embed.0.weight' has 20 rows.*keep"):
        select_class_rows(class_branch(20))
