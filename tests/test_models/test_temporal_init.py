"""TAFormer that starts from SeqFormer's weights."""

import re

import pytest
import torch
from mmdet.registry import MODELS

from mmtaformer.models.temporal_init import temporal_start
from mmtaformer.utils.errors import DataError

from ..helpers.models import build_tiny, tiny_config

# The bounds hold for few samples, of which each one counts.
HEADS = {"encoder.layer_cfg.self_attn_cfg.num_heads": 2}
FUSIONS = ("DynamicAttentionFusion", "ConcatenationFusion", "AdditionFusion")


def load_start(model, source, strategy):
    """Load the weights of a model without temporal parts, and how they start."""
    state = source.state_dict()
    start = temporal_start(state, model, strategy)
    state |= {name: value for name, (value, note) in start.items()}
    assert not model.load_state_dict(state, strict=False).unexpected_keys


@pytest.fixture(scope="module")
def seqformer():
    """Weights off every special value, norms like trained ones."""
    model = build_tiny("seqformer_tiny", noise=0.05, **HEADS)
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if "norm" in name and name.endswith("weight"):
            parameter.data *= 0.7 + 0.6 * torch.rand_like(parameter)
    return model


def taformer(source, strategy, **options):
    """TAFormer, initialized and then loaded with what was converted."""
    torch.manual_seed(2)
    model = MODELS.build(tiny_config("taformer_tiny", **HEADS, **options)._cfg_dict)
    model.init_weights()
    load_start(model, source, strategy)
    return model.eval()


@torch.no_grad()
def run(model, clip):
    """Encoder tokens, last box queries, boxes and class logits."""
    kept = []
    hook = model.encoder.register_forward_hook(lambda *call: kept.append(call[-1]))
    output = model(clip, mode="tensor")[-1]
    hook.remove()
    logits = model.bbox_head.cls_branches[-1](output.instance_query)
    return kept[0].tokens, output.box_query, output.boxes, logits


def distances(model, reference, clip):
    """Mean absolute differences of all that :func:`run` returns."""
    pairs = zip(run(model, clip), run(reference, clip), strict=True)
    return torch.stack([(a - b).abs().mean() for a, b in pairs])


@pytest.fixture(scope="module")
def moving_clip():
    """A texture that shifts by two pixels a frame."""
    texture = torch.nn.functional.interpolate(
        torch.randn(1, 3, 6, 10, generator=torch.Generator().manual_seed(3)),
        size=(48, 80),
        mode="bicubic",
    )
    frames = [texture[0, :, :, 2 * t : 2 * t + 64] for t in range(4)]
    return torch.stack(frames)[None]


def test_inflating_is_nearer_than_the_default(seqformer, moving_clip):
    inflate, zero, default = (
        distances(taformer(seqformer, strategy), seqformer, moving_clip)
        for strategy in ("inflate", "zero", "default")
    )
    assert (inflate < default / 2).all()
    assert (zero < default).all()


def test_inflating_samples_nearest(seqformer, moving_clip):
    """Without the encoding of the frames, which weighs on all strategies alike."""
    inflate, zero, default = (
        distances(
            taformer(seqformer, strategy, **{"positional_encoding.temporal": False}),
            seqformer,
            moving_clip,
        )
        for strategy in ("inflate", "zero", "default")
    )
    # The encoder's tokens are what inflating is about; boxes hardly move in any case.
    assert inflate[0] < zero[0] / 2
    assert (inflate <= 1.05 * zero).all()
    assert (zero < default).all()


def test_without_motion_and_frame_encoding_the_encoder_is_the_same(seqformer):
    still = torch.randn(1, 1, 3, 48, 64).expand(1, 3, -1, -1, -1)
    for fusion in FUSIONS:
        model = taformer(
            seqformer,
            "inflate",
            **{
                "positional_encoding.temporal": False,
                "encoder.layer_cfg.self_attn_cfg.fusion": dict(
                    type=fusion, _delete_=True
                ),
            },
        )
        torch.testing.assert_close(
            run(model, still)[0], run(seqformer, still)[0], atol=1e-4, rtol=1e-4
        )


def test_the_temporal_half_learns(seqformer, moving_clip):
    model = taformer(seqformer, "inflate")
    output = model(moving_clip, mode="tensor")[-1]
    output.box_query.square().mean().backward()
    for name, parameter in model.named_parameters():
        if re.search("temporal_(sampling|attention)|gate|temporal_.*out_proj", name):
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("points", [1, 2, 5])
def test_other_numbers_of_points(seqformer, points):
    """Repeated points share the weight of one; fewer take the first ones."""
    model = build_tiny(
        "taformer_tiny",
        **HEADS,
        **{"encoder.layer_cfg.self_attn_cfg.num_temporal_points": points},
    )
    load_start(model, seqformer, "inflate")
    attention = model.encoder.layers[0].self_attn
    query = torch.randn(7, attention.embed_dims)
    heads, levels, frames = attention.num_heads, attention.num_levels, 4
    spatial = seqformer.encoder.layers[0].self_attn
    own = spatial.num_points
    weights = spatial.attention_weights(query).view(7, heads, levels, own)
    if points < own:
        weights = weights[..., :points]
    expected = weights.flatten(2).softmax(-1).view_as(weights)
    logits = attention.temporal_attention_weights(query)
    actual = logits.view(7, heads, -1).softmax(-1)
    actual = actual.view(7, heads, frames, levels, points).sum(2)
    folded = torch.zeros_like(expected)
    for point in range(points):
        folded[..., point % expected.size(-1)] += actual[..., point]
    torch.testing.assert_close(folded, expected)


def test_one_temporal_attention_for_each_layer(seqformer, moving_clip):
    shared = taformer(seqformer, "inflate")
    each = taformer(seqformer, "inflate", **{"decoder.share_temporal_self_attn": False})
    assert len(each.decoder.temporal_self_attns) == 2
    far = distances(taformer(seqformer, "default"), seqformer, moving_clip)
    for model in (shared, each):
        assert (distances(model, seqformer, moving_clip) < far / 2).all()


def test_queries_of_the_first_layer_cannot_be_passed_on(seqformer):
    model = build_tiny("taformer_tiny", **{"decoder.first_temporal_layer": 0})
    with pytest.raises(DataError, match="set decoder.first_temporal_layer=1"):
        temporal_start(seqformer.state_dict(), model)
    assert temporal_start(seqformer.state_dict(), model, "default") == {}


def test_source_with_temporal_parts():
    model = build_tiny("taformer_tiny")
    with pytest.raises(DataError, match="has them already"):
        temporal_start(model.state_dict(), model)


def test_target_without_temporal_parts(seqformer):
    with pytest.raises(DataError, match="config with temporal parts"):
        temporal_start(seqformer.state_dict(), seqformer)


def test_backbone_alone_is_not_enough():
    state = {"backbone.conv1.weight": torch.zeros(1)}
    with pytest.raises(DataError, match="does not have"):
        temporal_start(state, build_tiny("taformer_tiny"))


def test_addition_cannot_be_closed(seqformer):
    model = build_tiny(
        "taformer_tiny",
        **{
            "encoder.layer_cfg.self_attn_cfg.fusion": dict(
                type="AdditionFusion", _delete_=True
            )
        },
    )
    with pytest.raises(DataError, match=r"--temporal-init zero .* AdditionFusion"):
        temporal_start(seqformer.state_dict(), model, "zero")
