"""Weights of four levels in a model of one, as for the one-level rows of Table 5."""

import dataclasses

import pytest
import torch

from mmtaformer.converters import (
    convert_seqformer,
    initialize_temporal,
    keep_one_level,
    load_converted,
)

from ..helpers.converted_models import build
from ..helpers.released import Sizes, random_state, seqformer

SIZES = Sizes(classes=7)
# C3, C4, C5 are stages 1, 2, 3 of the backbone.
STAGES = {"C3": 1, "C4": 2, "C5": 3}


def converted():
    state = random_state(seqformer(SIZES))
    for name in state:
        state[name] = state[
            name.replace("transformer.decoder.bbox_embed", "bbox_embed")
        ]
    return state, convert_seqformer(state)


def one_level_model(level, name="seqformer_tiny", **options):
    stage = STAGES[level]
    sizes = dataclasses.replace(
        SIZES, levels=1, in_channels=(SIZES.in_channels[stage - 1],)
    )
    return build(
        name,
        sizes,
        **{
            "backbone.out_indices": (stage,),
            "bbox_head.mask_head.num_levels": 1,
            "bbox_head.mask_head.stride": 2 ** (stage + 2),
            **options,
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
    with pytest.raises(ValueError, match=r"--one-level C4 .* has 1"):
        keep_one_level(conversion, "C4", model)


def test_a_model_of_other_layers():
    _, conversion = converted()
    model = one_level_model("C3", **{"encoder.num_layers": 2})
    name = r"encoder\.layers\.2\.self_attn\.sampling_offsets"
    with pytest.raises(ValueError, match=f"'{name}.* does not fit the model"):
        keep_one_level(conversion, "C3", model)
