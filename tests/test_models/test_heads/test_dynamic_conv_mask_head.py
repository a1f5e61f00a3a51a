import pytest
import torch
import torch.nn.functional as F
from mmdet.models.utils import aligned_bilinear
from mmdet.registry import MODELS

from mmtaformer.models.structures import ClipFeatures
from mmtaformer.utils.errors import UsageError


def build(embed_dims=64, channels=5, **kwargs):
    torch.manual_seed(0)
    head = MODELS.build(
        dict(
            type="DynamicConvMaskHead",
            embed_dims=embed_dims,
            channels=channels,
            **kwargs,
        )
    )
    head.init_weights()
    return head.eval()


@pytest.mark.parametrize("options", [{}, dict(feature_channels=7, distance_unit=16.0)])
@torch.no_grad()
def test_equals_a_convolution_over_explicit_coordinate_maps(options):
    num, frames, height, width = 3, 2, 6, 9
    head = build(**options)
    inputs = 2 + options.get("feature_channels", 2)
    query = torch.randn(num, 64)
    features = torch.randn(frames, inputs - 2, height, width)
    points = torch.rand(num, frames, 2) * torch.tensor([72.0, 48.0])
    actual = head(query, features, points)

    params = head.controller(query)
    c = head.channels
    y, x = torch.meshgrid(
        8 * torch.arange(height) + 4, 8 * torch.arange(width) + 4, indexing="ij"
    )
    for n in range(num):
        w1, w2, w3, b1, b2, b3 = params[n].split([inputs * c, c * c, c, c, c, 1])
        for t in range(frames):
            dx, dy = points[n, t, 0] - x, points[n, t, 1] - y
            distance = torch.stack([dx, dy]) / options.get("distance_unit", 1)
            maps = torch.cat([distance, features[t]])[None]
            maps = F.relu(F.conv2d(maps, w1.view(c, inputs, 1, 1), b1))
            maps = F.relu(F.conv2d(maps, w2.view(c, c, 1, 1), b2))
            maps = F.conv2d(maps, w3.view(1, c, 1, 1), b3)
            expected = aligned_bilinear(maps, 2)[0, 0]
            torch.testing.assert_close(actual[n, t], expected, atol=1e-4, rtol=1e-4)


def test_no_instances_keep_the_parameters_in_the_graph():
    head = build()
    features = torch.randn(2, 2, 4, 6, requires_grad=True)
    masks = head(torch.zeros(0, 64), features, torch.zeros(0, 2, 2))
    assert masks.shape == (0, 2, 8, 12)
    masks.sum().backward()
    assert all(p.grad is not None for p in head.controller.parameters())
    assert features.grad is not None


@torch.no_grad()
def test_mask_features_of_some_frames_are_a_slice():
    head = build()
    shapes = ((8, 12), (4, 6), (2, 3), (1, 2))
    num_tokens = sum(h * w for h, w in shapes)
    memory = ClipFeatures(
        tokens=torch.randn(1, 5, num_tokens, 64),
        spatial_shapes=shapes,
        spatial_pos=torch.zeros(1, num_tokens, 64),
        temporal_pos=None,
        reference_points=torch.zeros(1, num_tokens, 4, 2),
        valid_ratios=torch.ones(1, 4, 2),
    )
    whole = head.mask_features(memory)
    assert whole.shape == (1, 5, 2, 8, 12)
    some = head.mask_features(memory.select(slice(1, 3)))
    torch.testing.assert_close(some, whole[:, 1:3])


@torch.no_grad()
def test_mask_features_are_merged_top_down():
    """From the coarsest of the finest three levels, by nearest upsampling."""
    head, shapes = build(), ((4, 6), (2, 3), (1, 2))
    maps = [torch.randn(2, 64, *shape) for shape in shapes]
    tokens = torch.cat([m.flatten(2).transpose(1, 2) for m in maps], dim=1)
    memory = ClipFeatures(
        tokens=tokens[None],
        spatial_shapes=shapes,
        spatial_pos=torch.zeros(1, tokens.size(1), 64),
        temporal_pos=None,
        reference_points=torch.zeros(1, tokens.size(1), 3, 2),
        valid_ratios=torch.ones(1, 3, 2),
    )
    merged = None
    for conv, level in zip(head.lateral_convs, maps[::-1], strict=True):
        if merged is not None:
            height, width = level.shape[-2:]
            rows = [row * merged.size(2) // height for row in range(height)]
            columns = [column * merged.size(3) // width for column in range(width)]
            level = level + merged[:, :, rows][..., columns]
        merged = F.relu(F.conv2d(level, conv.weight, conv.bias, padding=1))
    for conv in head.output_convs:
        merged = F.relu(F.conv2d(merged, conv.weight, conv.bias, padding=1))
    torch.testing.assert_close(head.mask_features(memory)[0], merged)


def test_too_few_channels_are_refused():
    with pytest.raises(UsageError, match="DynamicConvMaskHead has feature_channels=0"):
        build(embed_dims=16)
