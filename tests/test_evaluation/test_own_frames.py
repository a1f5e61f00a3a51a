import pytest
import torch

from mmtaformer.evaluation.own_frames import only_own_frames
from mmtaformer.models.layers import (
    SpatioTemporalDeformableAttention,
    TemporalSelfAttention,
)
from mmtaformer.models.structures import ClipFeatures

SHAPES = ((4, 6), (2, 3))


@pytest.fixture
def encoding():
    """The encoder's attention with weights that sample other frames, too."""
    torch.manual_seed(0)
    fusion = dict(type="AdditionFusion")
    layer = SpatioTemporalDeformableAttention(
        embed_dims=32, num_heads=4, num_levels=2, num_points=2, fusion=fusion
    )
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    reference_points = torch.rand(1, 30, 2, 2)

    def run(tokens, first=0, last=None):
        features = ClipFeatures(
            tokens=tokens,
            spatial_shapes=SHAPES,
            spatial_pos=torch.zeros(1, 30, 32),
            temporal_pos=None,
            reference_points=reference_points,
            valid_ratios=torch.ones(1, 2, 2),
        )
        return layer(tokens[:, first:last], features, first)

    return layer, run


@pytest.fixture
def decoding():
    """The decoder's temporal self-attention."""
    torch.manual_seed(0)
    layer = TemporalSelfAttention(embed_dims=32, num_heads=4, dropout=0.0)
    return layer, layer


@pytest.mark.parametrize("part", ["encoding", "decoding"])
def test_frame_sees_itself_only(request, part):
    """Its result does not depend on others, and on equal frames nothing changes."""
    layer, run = request.getfixturevalue(part)
    clip = torch.randn(1, 5, 30, 32)
    other = clip.clone()
    other[:, [0, 1, 3, 4]] = torch.randn(1, 4, 30, 32)
    still = clip[:, 2:3].repeat(1, 5, 1, 1)
    normal = run(still)
    assert not torch.allclose(run(clip)[:, 2], run(other)[:, 2], atol=1e-3)
    with only_own_frames(layer, (type(layer),)):
        assert torch.equal(run(clip)[:, 2], run(other)[:, 2])
        assert not torch.allclose(run(clip)[:, 1], run(other)[:, 1], atol=1e-3)
        assert torch.allclose(run(clip)[:, 2], normal[:, 2], atol=1e-5)
        assert torch.allclose(run(still), normal, atol=1e-5)
    assert torch.equal(run(still), normal)


def test_frame_sees_its_own_reference_only():
    torch.manual_seed(0)
    layer = TemporalSelfAttention(32, 4, dropout=0.0, reference_pos=True)
    clip, reference = torch.randn(1, 5, 30, 32), torch.rand(1, 5, 30, 4)
    other = reference.clone()
    other[:, [0, 1, 3, 4]] = torch.rand(1, 4, 30, 4)

    def run(reference):
        return layer(clip, reference=reference)[:, 2]

    assert not torch.allclose(run(reference), run(other), atol=1e-3)
    with only_own_frames(layer, (TemporalSelfAttention,)):
        assert torch.equal(run(reference), run(other))


def test_frames_in_chunks(encoding):
    layer, run = encoding
    clip = torch.randn(1, 5, 30, 32)
    with only_own_frames(layer, (SpatioTemporalDeformableAttention,)):
        chunks = [run(clip, 0, 2), run(clip, 2, 5)]
        assert torch.allclose(torch.cat(chunks, dim=1), run(clip), atol=1e-6)


def test_other_layers_stay(encoding):
    layer, _ = encoding
    with only_own_frames(layer, (TemporalSelfAttention,)):
        assert "forward" not in vars(layer)
