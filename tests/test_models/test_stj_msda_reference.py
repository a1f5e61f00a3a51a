"""Equations 2-8 against the values that plain float64 loops give."""

import pytest
import torch
from mmdet.registry import MODELS
from torch import nn

from mmtaformer.models.layers import temporal_sine_encoding
from mmtaformer.models.structures import ClipFeatures, encoder_reference_points

from ..helpers.golden import load_golden

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def reference():
    meta, arrays = load_golden("stj_msda.npz", "MMTAFORMER_GOLDEN_STJ")
    return meta, {
        key: torch.from_numpy(value).float() if value.dtype.kind == "f" else value
        for key, value in arrays.items()
    }


def load(module, arrays, prefix=""):
    """Fill every parameter of a module from ``sd/<prefix><name>``."""
    state = {name: arrays[f"sd/{prefix}{name}"] for name in module.state_dict()}
    module.load_state_dict(state, strict=True)
    return module.eval()


@pytest.fixture(scope="module")
def attention(reference):
    meta, arrays = reference
    module = MODELS.build(
        dict(
            type="SpatioTemporalDeformableAttention",
            embed_dims=meta["embed_dims"],
            num_heads=meta["num_heads"],
            num_levels=len(meta["spatial_shapes"]),
            num_points=meta["points_intra"],
            temporal_window=meta["temporal_window"],
            num_temporal_points=meta["points_inter"],
            fusion=dict(
                type="DynamicAttentionFusion", channels=meta["fusion_channels"]
            ),
        )
    )
    assert list(module.relative_frames) == meta["relative_frames"]
    return load(module, arrays)


class KeepBoth(nn.Module):
    """Stands in for a fusion and keeps what it is given."""

    def forward(self, intra, inter):
        return torch.stack([intra, inter])


def attend(attention, reference, fusion):
    meta, arrays = reference
    x, pos = arrays["in/x"], arrays["in/pos"]
    kept, attention.fusion = attention.fusion, fusion
    try:
        with torch.no_grad():
            features = ClipFeatures(
                tokens=x,
                spatial_shapes=tuple(map(tuple, meta["spatial_shapes"])),
                spatial_pos=torch.zeros(1, x.size(2), x.size(3)),
                temporal_pos=None,
                reference_points=arrays["in/reference_points"],
                valid_ratios=arrays["in/valid_ratios"],
                padding_mask=torch.from_numpy(arrays["in/padding_mask"]),
            )
            return attention(x + pos, features)
    finally:
        attention.fusion = kept


def assert_close(actual, expected):
    assert actual.shape == expected.shape
    assert (actual - expected).abs().max().item() <= TOLERANCE


def test_spatial_and_temporal_attention(reference, attention):
    intra, inter = attend(attention, reference, KeepBoth())
    assert_close(intra, reference[1]["out/intra"])
    assert_close(inter, reference[1]["out/inter"])


def test_dynamic_fusion(reference, attention):
    fused = attend(attention, reference, attention.fusion)
    assert_close(fused, reference[1]["out/fused_dynamic"])


@pytest.mark.parametrize(
    ("name", "key", "prefix"),
    [
        ("AdditionFusion", "out/fused_add", ""),
        ("ConcatenationFusion", "out/fused_concat", "fusion_concat."),
    ],
)
def test_other_fusions(reference, attention, name, key, prefix):
    meta, arrays = reference
    fusion = MODELS.build(dict(type=name, embed_dims=meta["embed_dims"]))
    fused = attend(attention, reference, load(fusion, arrays, prefix))
    assert_close(fused, arrays[key])


def test_reference_points(reference):
    meta, arrays = reference
    shapes = tuple(map(tuple, meta["spatial_shapes"]))
    points = encoder_reference_points(shapes, arrays["in/valid_ratios"])
    assert_close(points, arrays["in/reference_points"])


def test_temporal_encoding(reference):
    meta, arrays = reference
    encoding = temporal_sine_encoding(meta["num_frames"], meta["embed_dims"])
    assert_close(encoding, arrays["out/temporal_encoding"])


def test_contrastive_loss(reference):
    meta, arrays = reference
    dims = meta["embed_dims"]
    projector = nn.ModuleList([nn.Linear(dims, dims), nn.Linear(dims, dims)])
    load(projector, arrays, "projector.")
    projected = projector[1](projector[0](arrays["in/box_queries"]).relu())
    loss = MODELS.build(
        dict(type="BoxQueryContrastiveLoss", temperature=meta["temperature"])
    )
    assert_close(loss(projected), arrays["out/contrastive"])
