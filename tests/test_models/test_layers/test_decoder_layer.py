"""SeqFormer's decoder layer against loops, on clips of several frames."""

import numpy as np
import pytest
import torch

from mmtaformer.models.layers import QueryDecomposedDecoderLayer
from mmtaformer.models.structures import ClipFeatures, encoder_reference_points
from mmtaformer.utils.errors import UsageError

from ...helpers.loops import (
    array,
    attention,
    deformable_attention,
    feed_forward,
    layer_norm,
    linear,
    softmax,
)

SHAPES = ((4, 6), (2, 3))
NUM_TOKENS = 30
DIMS, HEADS, QUERIES, FRAMES, CLIPS = 8, 2, 3, 3, 2


def build(**options):
    torch.manual_seed(0)
    layer = QueryDecomposedDecoderLayer(
        self_attn_cfg=dict(embed_dims=DIMS, num_heads=HEADS, dropout=0.1),
        cross_attn_cfg=dict(embed_dims=DIMS, num_heads=HEADS, num_points=2),
        ffn_cfg=dict(embed_dims=DIMS, feedforward_channels=12, ffn_drop=0.1),
        num_levels=2,
        **options,
    )
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return layer.eval()


def make_memory(padded=False, **options):
    ratios, mask = torch.ones(CLIPS, 2, 2), None
    if padded:  # the second clip has one coarse column of padding
        ratios[1, :, 0] = 2 / 3
        mask = torch.zeros(CLIPS, NUM_TOKENS, dtype=torch.bool)
        mask[1, :24].view(4, 6)[:, 4:] = True
        mask[1, 24:].view(2, 3)[:, 2:] = True
    return ClipFeatures(
        tokens=torch.randn(CLIPS, FRAMES, NUM_TOKENS, DIMS),
        spatial_shapes=SHAPES,
        spatial_pos=torch.zeros(1, NUM_TOKENS, DIMS),
        temporal_pos=None,
        reference_points=encoder_reference_points(SHAPES, ratios),
        valid_ratios=ratios,
        padding_mask=mask,
        **options,
    )


def make_queries(coordinates):
    references = torch.rand(CLIPS, FRAMES, QUERIES, coordinates)
    return (
        torch.randn(CLIPS, QUERIES, DIMS),
        torch.randn(CLIPS, FRAMES, QUERIES, DIMS),
        dict(query_pos=torch.randn(QUERIES, DIMS), reference_points=references),
    )


def layer_by_loops(layer, instance_query, box_query, query_pos, references, memory):
    """One clip: (Q, C) and (T, Q, C) to the same."""

    def among_queries(attn, norm, query):
        key = query + query_pos
        return layer_norm(norm, query + attention(attn, key, key, query))

    instance_query = among_queries(layer.self_attn, layer.norm2, instance_query)
    box_query = np.array(
        [among_queries(layer.self_attn_box, layer.norm2_box, q) for q in box_query]
    )
    refined, gathered, logits = [], [], []
    for t in range(FRAMES):
        sampled = deformable_attention(
            layer.cross_attn,
            box_query[t] + query_pos,
            memory["tokens"][t],
            SHAPES,
            references[t],
            memory["padding"],
        )
        boxes = linear(layer.cross_attn.output_proj_box, sampled)
        boxes = layer_norm(layer.norm1_box, box_query[t] + boxes)
        boxes = layer_norm(layer.norm3_box, feed_forward(layer.ffn_box, boxes))
        refined.append(boxes)
        gathered.append(linear(layer.cross_attn.output_proj, sampled))
        logits.append(linear(layer.time_attention_weights, boxes)[:, 0])
    summed = np.zeros_like(instance_query)
    for query in range(QUERIES):
        weights = softmax([logits[t][query] for t in range(FRAMES)])
        for t in range(FRAMES):
            summed[query] += weights[t] * gathered[t][query]
    instance_query = layer_norm(layer.norm1, instance_query + summed)
    instance_query = layer_norm(layer.norm3, feed_forward(layer.ffn, instance_query))
    return instance_query, np.array(refined)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("coordinates", [2, 4])
@torch.no_grad()
def test_equals_loops(coordinates, padded):
    layer, memory = build(), make_memory(padded)
    instance_query, box_query, where = make_queries(coordinates)
    instances, boxes = layer(instance_query, box_query, memory=memory, **where)
    assert instances.shape == instance_query.shape
    assert boxes.shape == box_query.shape
    for clip in range(CLIPS):
        # References are in parts of the unpadded image, samples of the padded level.
        ratios = array(memory.valid_ratios[clip])
        scale = np.concatenate([ratios, ratios], axis=1)[:, :coordinates]
        references = array(where["reference_points"][clip])[..., None, :] * scale
        padding = memory.padding_mask
        expected = layer_by_loops(
            layer,
            array(instance_query[clip]),
            array(box_query[clip]),
            array(where["query_pos"]),
            references,
            dict(
                tokens=array(memory.tokens[clip]),
                padding=None if padding is None else padding[clip].numpy(),
            ),
        )
        np.testing.assert_allclose(array(instances[clip]), expected[0], atol=1e-4)
        np.testing.assert_allclose(array(boxes[clip]), expected[1], atol=1e-4)


@pytest.mark.parametrize("step", [1, 2, 5])
@torch.no_grad()
def test_windows_do_not_change_the_result(step):
    layer, (instance_query, box_query, where) = build(), make_queries(4)
    torch.manual_seed(3)
    whole = layer(instance_query, box_query, memory=make_memory(), **where)
    torch.manual_seed(3)
    memory = make_memory(frames_per_chunk=step)
    parts = layer(instance_query, box_query, memory=memory, **where)
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_dropout_acts_in_training():
    layer = build(dropout=0.5).train()
    instance_query, box_query, where = make_queries(4)
    memory = make_memory()
    one, other = (
        layer(instance_query, box_query, memory=memory, **where) for _ in range(2)
    )
    assert not torch.equal(one[0], other[0])
    assert not torch.equal(one[1], other[1])


def test_channels_have_to_agree():
    cfg = dict(embed_dims=DIMS, num_heads=HEADS)
    with pytest.raises(UsageError, match="disagree on embed_dims: .*ffn_cfg has 16"):
        QueryDecomposedDecoderLayer(
            self_attn_cfg=cfg,
            cross_attn_cfg=cfg,
            ffn_cfg=dict(embed_dims=16, feedforward_channels=8),
        )
