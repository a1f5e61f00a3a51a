"""Shapes of maps against those of a real forward pass."""

import pytest
import torch
from mmdet.registry import MODELS

from mmtaformer.models.detectors.backbone_maps import IMAGE_SIZE, output_shapes

RESNET = dict(type="ResNet", depth=18, base_channels=8, out_indices=(1, 2, 3))
BACKBONES = {
    "resnet": RESNET,
    # mmcv's operator needs values.
    "deformable": RESNET
    | dict(
        depth=50,
        dcn=dict(type="DCNv2", deform_groups=1, fallback_on_stride=False),
        stage_with_dcn=(False, False, False, True),
    ),
    "swin": dict(
        type="SwinTransformer",
        embed_dims=24,
        depths=(1, 1, 1, 1),
        num_heads=(1, 2, 4, 8),
        drop_path_rate=0.3,
        out_indices=(1, 2, 3),
    ),
}


@pytest.mark.parametrize("name", BACKBONES)
def test_shapes_are_those_of_a_forward_pass_and_nothing_changes(name):
    torch.manual_seed(0)
    backbone = MODELS.build(BACKBONES[name])
    state = {key: value.clone() for key, value in backbone.state_dict().items()}
    modes = {module: module.training for module in backbone.modules()}
    random = torch.get_rng_state()
    shapes = output_shapes(backbone, (1, 3, IMAGE_SIZE, IMAGE_SIZE))

    assert {module: module.training for module in backbone.modules()} == modes
    assert torch.equal(torch.get_rng_state(), random)
    after = backbone.state_dict()
    assert all(torch.equal(after[key], value) for key, value in state.items())
    backbone.eval()
    with torch.no_grad():
        maps = backbone(torch.zeros(1, 3, IMAGE_SIZE, IMAGE_SIZE))
    assert shapes == [tuple(level.shape) for level in maps]


def test_a_neck_takes_a_list_of_maps():
    neck = MODELS.build(
        dict(type="ChannelMapper", in_channels=[4, 8], out_channels=6, num_outs=3)
    )
    shapes = output_shapes(neck, [(1, 4, 16, 16), (1, 8, 8, 8)])
    assert shapes == [(1, 6, 16, 16), (1, 6, 8, 8), (1, 6, 4, 4)]
