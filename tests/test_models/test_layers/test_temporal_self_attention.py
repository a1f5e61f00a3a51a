"""Temporal self-attention against loops over clips, queries, frames and heads."""

import math

import numpy as np
import pytest
import torch

from mmtaformer.models.layers import TemporalSelfAttention, temporal_sine_encoding
from mmtaformer.utils.errors import UsageError

from ...helpers.loops import array, attention, layer_norm, linear


def build(dims=8, heads=2, **options):
    torch.manual_seed(0)
    layer = TemporalSelfAttention(
        embed_dims=dims, num_heads=heads, dropout=0.1, **options
    )
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return layer.eval()


@torch.no_grad()
def test_equals_loops():
    layer = build()
    box_query = torch.randn(2, 5, 3, 8)
    values, actual = array(box_query), array(layer(box_query))
    encoding = array(temporal_sine_encoding(5, 8))
    for clip in range(2):
        for query in range(3):
            track = values[clip, :, query]  # (T, C) of one instance
            keyed = track + encoding
            attended = attention(layer.attn, keyed, keyed, track)
            expected = layer_norm(layer.norm, track + attended)
            np.testing.assert_allclose(actual[clip, :, query], expected, atol=1e-5)


@torch.no_grad()
def test_index_in_the_video_equals_loops():
    layer, box_query = build(frame_index="video"), torch.randn(2, 3, 4, 8)
    frame_ids = torch.tensor([[2, 3, 9], [0, 5, 5]])
    actual = array(layer(box_query, frame_ids=frame_ids))
    of_video = array(temporal_sine_encoding(10, 8))
    for clip in range(2):
        encoding = of_video[frame_ids[clip].numpy()]
        for query in range(4):
            track = array(box_query[clip, :, query])
            keyed = track + encoding
            attended = attention(layer.attn, keyed, keyed, track)
            expected = layer_norm(layer.norm, track + attended)
            np.testing.assert_allclose(actual[clip, :, query], expected, atol=1e-5)
    with pytest.raises(UsageError, match="TemporalSelfAttention .* 'frame_id'"):
        layer(box_query)


def proposal_encoding(reference, dims):
    """As Deformable DETR: y, x, w, h, half as many channels for each number."""
    half, numbers = dims // 2, [reference[1], reference[0], *reference[2:]]
    result = np.zeros(2 * dims)
    for place, number in enumerate(numbers):
        for channel in range(half):
            angle = 2 * math.pi * number / 10000 ** (2 * (channel // 2) / half)
            value = math.cos(angle) if channel % 2 else math.sin(angle)
            result[place * half + channel] = value
    return result


@pytest.mark.parametrize("coordinates", [2, 4])
@pytest.mark.parametrize("query_pos", [False, True])
@pytest.mark.parametrize("reference_pos", [False, True])
@torch.no_grad()
def test_positions_of_queries_and_references_equal_loops(
    query_pos, reference_pos, coordinates
):
    layer = build(query_pos=query_pos, reference_pos=reference_pos)
    box_query, learned = torch.randn(2, 3, 4, 8), torch.randn(4, 8)
    reference = torch.rand(2, 3, 4, coordinates)
    actual = array(layer(box_query, query_pos=learned, reference=reference))
    frames = array(temporal_sine_encoding(3, 8))
    for clip in range(2):
        for query in range(4):
            track = array(box_query[clip, :, query])
            keyed = track + frames
            if query_pos:
                keyed = keyed + array(learned[query])
            if reference_pos:
                encoded = [
                    proposal_encoding(box, 8)
                    for box in reference[clip, :, query].tolist()
                ]
                keyed = keyed + linear(layer.reference_proj, np.array(encoded))
            attended = attention(layer.attn, keyed, keyed, track)
            expected = layer_norm(layer.norm, track + attended)
            np.testing.assert_allclose(actual[clip, :, query], expected, atol=1e-5)


def test_projection_of_references_exists_if_it_is_asked_for():
    plain, positioned = build().state_dict(), build(reference_pos=True).state_dict()
    assert positioned.keys() - plain.keys() == {
        "reference_proj.weight",
        "reference_proj.bias",
    }
    assert positioned["reference_proj.weight"].shape == (8, 16)
    assert build(query_pos=True).state_dict().keys() == plain.keys()


@torch.no_grad()
def test_queries_do_not_see_each_other():
    layer, box_query = build(), torch.randn(1, 4, 3, 8)
    other = box_query.clone()
    other[:, 2, 1] += 1.0
    moved = (layer(other) - layer(box_query)).abs().amax(dim=(0, 3)) > 1e-6
    assert moved[:, 1].all()  # in every frame
    assert not moved[:, [0, 2]].any()


def test_heads_have_to_divide_the_channels():
    with pytest.raises(UsageError, match="8 channels .* 3 heads"):
        build(8, 3)
