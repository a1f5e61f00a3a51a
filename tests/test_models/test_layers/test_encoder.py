"""The encoder against loops, mmdet's Deformable DETR, and itself in windows."""

import numpy as np
import pytest
import torch
from mmdet.models.layers import DeformableDetrTransformerEncoder

from mmtaformer.models.layers import SpatioTemporalEncoder
from mmtaformer.models.structures import ClipFeatures, encoder_reference_points
from mmtaformer.utils.errors import UsageError

from ...helpers.loops import (
    array,
    deformable_attention,
    feed_forward,
    layer_norm,
    linear,
)

SHAPES = ((4, 6), (2, 3))
NUM_TOKENS = 30
DIMS, CLIPS = 8, 2
FFN = dict(embed_dims=DIMS, feedforward_channels=12, num_fcs=2, ffn_drop=0.0)


def build(window=1, num_layers=2, seed=0, **attention):
    torch.manual_seed(seed)
    encoder = SpatioTemporalEncoder(
        layer_cfg=dict(
            self_attn_cfg=dict(
                embed_dims=DIMS,
                **{
                    "num_heads": 2,
                    "num_points": 2,
                    "num_temporal_points": 3,
                    "temporal_window": window,
                    **attention,
                },
            ),
            ffn_cfg=FFN,
            dropout=0.0,
        ),
        num_layers=num_layers,
        num_levels=2,
    )
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return encoder.eval()


def make_features(num_frames=4, padded=True, temporal=True, **options):
    torch.manual_seed(1)
    ratios, mask = torch.ones(CLIPS, 2, 2), None
    if padded:
        ratios[1, :, 0] = 2 / 3
        mask = torch.zeros(CLIPS, NUM_TOKENS, dtype=torch.bool)
        mask[1, :24].view(4, 6)[:, 4:] = True
        mask[1, 24:].view(2, 3)[:, 2:] = True
    return ClipFeatures(
        tokens=torch.randn(CLIPS, num_frames, NUM_TOKENS, DIMS),
        spatial_shapes=SHAPES,
        spatial_pos=torch.randn(CLIPS, NUM_TOKENS, DIMS),
        temporal_pos=torch.randn(num_frames, DIMS) if temporal else None,
        reference_points=encoder_reference_points(SHAPES, ratios),
        valid_ratios=ratios,
        padding_mask=mask,
        **options,
    )


@torch.no_grad()
def test_a_spatial_layer_equals_loops():
    encoder, features = build(window=0, num_layers=1), make_features(3)
    (layer,) = encoder.layers
    actual = array(encoder(features).tokens)
    for clip in range(CLIPS):
        for t in range(3):
            tokens = array(features.tokens[clip, t])
            position = array(features.spatial_pos[clip] + features.temporal_pos[t])
            sampled = deformable_attention(
                layer.self_attn,
                tokens + position,
                tokens,
                SHAPES,
                array(features.reference_points[clip]),
                features.padding_mask[clip].numpy(),
            )
            attended = linear(layer.self_attn.output_proj, sampled)
            expected = layer_norm(layer.norm1, tokens + attended)
            expected = layer_norm(layer.norm2, feed_forward(layer.ffn, expected))
            np.testing.assert_allclose(actual[clip, t], expected, atol=1e-4)


@torch.no_grad()
def test_without_window_each_frame_is_mmdets_encoder():
    encoder = build(window=0, num_heads=2)
    reference = DeformableDetrTransformerEncoder(
        num_layers=2,
        layer_cfg=dict(
            self_attn_cfg=dict(
                embed_dims=DIMS,
                num_heads=2,
                num_levels=2,
                num_points=2,
                batch_first=True,
            ),
            ffn_cfg=FFN,
        ),
    ).eval()
    state = {
        name.replace(".norm1.", ".norms.0.").replace(".norm2.", ".norms.1."): value
        for name, value in encoder.state_dict().items()
    }
    reference.load_state_dict(state, strict=True)
    features = make_features(3, temporal=False)
    actual = encoder(features).tokens
    for t in range(3):
        expected = reference(
            query=features.tokens[:, t],
            query_pos=features.spatial_pos,
            key_padding_mask=features.padding_mask,
            spatial_shapes=torch.tensor(SHAPES),
            level_start_index=torch.tensor([0, 24]),
            valid_ratios=features.valid_ratios,
        )
        torch.testing.assert_close(actual[:, t], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("border", ["mask", "nearest"])
@pytest.mark.parametrize("window", [0, 1, 2])
@pytest.mark.parametrize("step", [1, 2, 3, 4])
@torch.no_grad()
def test_windows_do_not_change_the_result(step, window, border):
    encoder, num_frames = build(window, num_layers=3, border=border), 7
    whole = make_features(num_frames)
    expected = encoder(whole).tokens
    parts = make_features(num_frames, frames_per_chunk=step)
    given = parts.tokens.clone()
    encoded = encoder(parts)
    torch.testing.assert_close(encoded.tokens, expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(parts.tokens, given)  # the caller's tokens stay
    assert encoded.frames_per_chunk == step


@torch.no_grad()
def test_frames_reach_as_far_as_windows_and_layers():
    encoder, num_frames = build(window=1, num_layers=2), 7
    before = make_features(num_frames)
    tokens = before.tokens.clone()
    tokens[:, 3] += 1.0
    after = encoder(before.with_tokens(tokens)).tokens
    moved = (after - encoder(before).tokens).abs().amax(dim=(0, 2, 3)) > 1e-6
    assert moved.tolist() == [abs(t - 3) <= 2 for t in range(num_frames)]


@pytest.mark.parametrize("num_frames", [2, 3, 4])
@pytest.mark.parametrize("step", [1, 2])
@torch.no_grad()
def test_windows_of_clips_with_few_frames_to_sample(step, num_frames):
    encoder = build(2, border="nearest")
    expected = encoder(make_features(num_frames)).tokens
    encoded = encoder(make_features(num_frames, frames_per_chunk=step))
    torch.testing.assert_close(encoded.tokens, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_some_frames_of_a_layer_are_a_slice():
    (layer,) = build(window=2, num_layers=1).layers
    features = make_features(6)
    torch.testing.assert_close(
        layer(features, slice(2, 4)), layer(features)[:, 2:4], atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize(
    ("attention", "message"),
    [
        (dict(num_temporal_points=0), "num_temporal_points=0; give an integer of at"),
        (dict(num_points=-1), "num_points=-1"),
        (dict(num_levels=0), "num_levels=0"),
        (dict(num_heads=3), "8 channels .* 3 heads"),
        (dict(temporal_window=-2), "temporal_window=-2"),
        (dict(num_points=2.0), "num_points=2.0"),
    ],
)
def test_mistakes_are_refused(attention, message):
    with pytest.raises(UsageError, match=message):
        build(**attention)


def test_channels_have_to_agree():
    with pytest.raises(UsageError, match="disagree on embed_dims"):
        SpatioTemporalEncoder(
            layer_cfg=dict(self_attn_cfg=dict(embed_dims=16), ffn_cfg=FFN)
        )
