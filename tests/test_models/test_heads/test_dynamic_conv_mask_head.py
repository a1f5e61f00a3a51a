import pytest
import torch
import torch.nn.functional as F
from mmdet.models.utils import aligned_bilinear
from mmdet.registry import MODELS

from mmtaformer.models.structures import ClipFeatures


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
        valid_ratios=torch.ones(1, 4, 2),
        padding_mask=None,
    )
    whole = head.mask_features(memory)
    assert whole.shape == (1, 5, 2, 8, 12)
    torch.testing.assert_close(head.mask_features(memory, 1, 3), whole[:, 1:3])
