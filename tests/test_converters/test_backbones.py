import pytest
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS

from mmtaformer.converters import Action, convert_swin
from mmtaformer.utils.errors import DataError

from ..helpers import released
from ..helpers.released import random_state

DIMS, WINDOW = 8, 4


@pytest.fixture(scope="module")
def state():
    shapes = released.swin(dims=DIMS, window=WINDOW)
    shapes |= released.norm("norm", 8 * DIMS) | released.linear("head", 8 * DIMS, 1000)
    shapes["layers.0.blocks.1.attn_mask"] = (4, WINDOW**2, WINDOW**2)
    return random_state(shapes)


def test_swin_loads_into_mmdet(state):
    conversion = convert_swin(state)
    backbone = MODELS.build(
        dict(
            type="SwinTransformer",
            embed_dims=DIMS,
            depths=(2, 2, 2, 2),
            num_heads=(1, 2, 4, 8),
            window_size=WINDOW,
            out_indices=(1, 2, 3),
        )
    )
    result = backbone.load_state_dict(
        {
            name.removeprefix("backbone."): v
            for name, v in conversion.state_dict.items()
        },
        strict=False,
    )
    # ImageNet's classifier has one norm, a detector one per output.
    assert not result.unexpected_keys
    assert {name.split(".")[0] for name in result.missing_keys} == {
        "norm1",
        "norm2",
        "norm3",
    }
    left_out = {entry.source for entry in conversion.left_out}
    assert left_out == {
        "norm.weight",
        "norm.bias",
        "head.weight",
        "head.bias",
        "layers.0.blocks.1.attn_mask",
    }


def test_patch_merging_gives_the_same(state):
    """The official code joins pixels (0, 0), (1, 0), (0, 1), (1, 1)."""
    conversion = convert_swin(state)
    entry = conversion.entries["backbone.stages.0.downsample.reduction.weight"]
    assert entry.action is Action.ADAPTED
    part = "backbone.stages.0.downsample"
    merging = (
        MODELS.build(
            dict(
                type="SwinTransformer",
                embed_dims=DIMS,
                depths=(1, 1),
                num_heads=(1, 2),
                strides=(4, 2),
                out_indices=(1,),
            )
        )
        .stages[0]
        .downsample
    )
    merging.load_state_dict(
        {
            name.removeprefix(f"{part}."): value
            for name, value in conversion.state_dict.items()
            if name.startswith(f"{part}.")
        }
    )
    tokens = torch.randn(1, 6, 8, DIMS)
    joined = torch.cat(
        [tokens[:, i::2, j::2] for j in (0, 1) for i in (0, 1)], dim=-1
    ).flatten(1, 2)
    expected = F.linear(
        F.layer_norm(
            joined,
            (4 * DIMS,),
            state["layers.0.downsample.norm.weight"],
            state["layers.0.downsample.norm.bias"],
        ),
        state["layers.0.downsample.reduction.weight"],
    )
    actual = merging(tokens.flatten(1, 2), (6, 8))[0]
    torch.testing.assert_close(actual, expected)


def test_another_transformer_is_refused(state):
    """Swin V2 has parameters that mmdet's class lacks."""
    other = state | {"layers.0.blocks.0.attn.logit_scale": torch.zeros(1)}
    with pytest.raises(DataError, match=r"layers\.0\.blocks\.0\.attn\.logit_scale"):
        convert_swin(other)
