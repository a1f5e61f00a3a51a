"""The stack of decoder layers: what goes into which layer, and where gradients stop."""

import math

import pytest
import torch
from torch import nn

from mmtaformer.models.layers import TemporalAugmentedDecoder
from mmtaformer.models.layers.decoder import refine_boxes
from mmtaformer.models.structures import ClipFeatures, encoder_reference_points
from mmtaformer.utils.errors import UsageError

SHAPES = ((4, 6), (2, 3))
DIMS, QUERIES, FRAMES, CLIPS, LAYERS = 8, 3, 3, 2, 3
TEMPORAL = dict(type="TemporalSelfAttention", embed_dims=DIMS, num_heads=2, dropout=0.0)


def build(**options):
    torch.manual_seed(0)
    attention = dict(embed_dims=DIMS, num_heads=2)
    decoder = TemporalAugmentedDecoder(
        layer_cfg=dict(
            self_attn_cfg=attention,
            cross_attn_cfg=dict(**attention, num_points=2),
            ffn_cfg=dict(embed_dims=DIMS, feedforward_channels=12, ffn_drop=0.0),
            dropout=0.0,
        ),
        **{"num_layers": LAYERS, "num_levels": 2, **options},
    )
    for parameter in decoder.parameters():
        nn.init.normal_(parameter, std=0.4)
    return decoder


def arguments():
    torch.manual_seed(1)
    ratios = torch.ones(CLIPS, 2, 2)
    memory = ClipFeatures(
        tokens=torch.randn(CLIPS, FRAMES, 30, DIMS),
        spatial_shapes=SHAPES,
        spatial_pos=torch.zeros(1, 30, DIMS),
        temporal_pos=None,
        reference_points=encoder_reference_points(SHAPES, ratios),
        valid_ratios=ratios,
    )
    return dict(
        query=torch.randn(QUERIES, DIMS),
        query_pos=torch.randn(QUERIES, DIMS),
        reference_points=torch.rand(QUERIES, 2),
        memory=memory,
        reg_branches=nn.ModuleList(nn.Linear(DIMS, 4) for _ in range(LAYERS)),
    )


@pytest.mark.parametrize("coordinates", [2, 4])
def test_boxes_are_refined_in_sigmoid_space(coordinates):
    delta, reference = torch.randn(5, 4), torch.rand(5, coordinates)
    boxes = refine_boxes(delta, reference)
    for n in range(5):
        for axis in range(4):
            value = delta[n, axis].item()
            if axis < coordinates:
                start = reference[n, axis].item()
                value += math.log(start / (1 - start))
            expected = 1 / (1 + math.exp(-value))
            assert boxes[n, axis].item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("share", [True, False])
def test_layers_are_chained(share):
    """By hand: temporal self-attention from the second layer on, boxes refined."""
    decoder = build(temporal_self_attn=TEMPORAL, share_temporal_self_attn=share)
    args = arguments()
    outputs = decoder(**args)
    instances = args["query"].expand(CLIPS, -1, -1)
    boxes = args["query"].expand(CLIPS, FRAMES, -1, -1)
    reference = args["reference_points"].expand(CLIPS, FRAMES, -1, -1)
    for index, (layer, output) in enumerate(zip(decoder.layers, outputs, strict=True)):
        if index > 0:
            attentions = decoder.temporal_self_attns
            boxes = attentions[0 if share else index - 1](boxes)
        assert torch.equal(output.reference, reference)
        instances, boxes = layer(
            instances,
            boxes,
            query_pos=args["query_pos"],
            reference_points=reference,
            memory=args["memory"],
        )
        reference = refine_boxes(args["reg_branches"][index](boxes), reference)
        torch.testing.assert_close(output.instance_query, instances)
        torch.testing.assert_close(output.box_query, boxes)
        torch.testing.assert_close(output.boxes, reference)


@pytest.mark.parametrize("share", [True, False])
def test_temporal_self_attention_knows_the_positions(share):
    """Those that go into its layer; before the first layer as well."""
    decoder = build(
        temporal_self_attn=TEMPORAL | dict(query_pos=True, reference_pos=True),
        share_temporal_self_attn=share,
        first_temporal_layer=0,
    )
    args = arguments()
    attentions = decoder.temporal_self_attns
    assert len(attentions) == (1 if share else LAYERS)
    boxes = args["query"].expand(CLIPS, FRAMES, -1, -1)
    instances = args["query"].expand(CLIPS, -1, -1)
    for index, output in enumerate(decoder(**args)):
        boxes = attentions[0 if share else index](
            boxes, query_pos=args["query_pos"], reference=output.reference
        )
        if index == 0:  # what the docstring says
            torch.testing.assert_close(boxes, boxes[:, :1].expand_as(boxes))
        instances, boxes = decoder.layers[index](
            instances,
            boxes,
            query_pos=args["query_pos"],
            reference_points=output.reference,
            memory=args["memory"],
        )
        torch.testing.assert_close(output.box_query, boxes)


def test_last_layer_only():
    decoder, args = build(), arguments()
    outputs = decoder(**args)
    (last,) = decoder(**args, last_only=True)
    assert len(outputs) == LAYERS
    assert torch.equal(last.boxes, outputs[-1].boxes)
    assert torch.equal(last.instance_query, outputs[-1].instance_query)


def test_the_first_layer_trains_the_references_and_no_other_does():
    """As in the released code: refined boxes are detached, initial points are not."""
    decoder, args = build(), arguments()
    args["reference_points"].requires_grad_()
    args["query"].requires_grad_()
    outputs = decoder(**args)
    (first,) = torch.autograd.grad(
        outputs[0].instance_query.sum(), args["reference_points"], retain_graph=True
    )
    assert first.abs().max() > 0
    assert all(not output.reference.requires_grad for output in outputs[1:])
    # Box branches of earlier layers have no part in the queries of later ones.
    branch = args["reg_branches"][0].weight
    with pytest.raises(RuntimeError, match="not have been used in the graph"):
        torch.autograd.grad(outputs[-1].instance_query.sum(), branch)


def test_positions_of_references_train_no_box_branch():
    """Refined references are detached there, too; their projection is trained."""
    decoder = build(temporal_self_attn=TEMPORAL | dict(reference_pos=True))
    args = arguments()
    last = decoder(**args)[-1].instance_query.sum()
    projection = decoder.temporal_self_attns[0].reference_proj.weight
    (gradient,) = torch.autograd.grad(last, projection, retain_graph=True)
    assert gradient.abs().max() > 0
    with pytest.raises(RuntimeError, match="not have been used in the graph"):
        torch.autograd.grad(last, args["reg_branches"][0].weight)


def test_frames_are_alike_before_the_first_layer():
    """Temporal self-attention there could do nothing, so a single layer has none."""
    decoder = build(temporal_self_attn=TEMPORAL, num_layers=1)
    box_query = torch.randn(CLIPS, FRAMES, QUERIES, DIMS)
    assert decoder.relate_frames(box_query, 0) is box_query
    assert build().relate_frames(box_query, 1) is box_query


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(num_layers=0), "TemporalAugmentedDecoder has num_layers=0"),
        (dict(temporal_self_attn=TEMPORAL | {"embed_dims": 16}), "disagree on embed"),
        (dict(first_temporal_layer=2), "first_temporal_layer=2; give 1 or 0"),
    ],
)
def test_mistakes_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        build(**options)
