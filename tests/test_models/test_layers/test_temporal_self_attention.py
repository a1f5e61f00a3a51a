"""Temporal self-attention against loops over clips, queries, frames and heads."""

import numpy as np
import pytest
import torch

from mmtaformer.models.layers import TemporalSelfAttention, temporal_sine_encoding
from mmtaformer.utils.errors import UsageError

from ...helpers.loops import array, attention, layer_norm


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
    actual = array(layer(box_query, frame_ids))
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
