"""Backbone, neck, levels and layers of TAFormer have to fit each other."""

import pytest
from mmdet.registry import MODELS

from mmtaformer.utils.errors import UsageError

from ...helpers.clips import BOXES, SIZE, clip_inputs, predict, total_loss
from ...helpers.models import build_tiny, clip_sample, tiny_config

R18 = {"backbone.base_channels": 64, "backbone.depth": 18}


@pytest.mark.parametrize(
    "options",
    [
        R18,
        R18 | {"num_feature_levels": 3},
        {"num_feature_levels": 5},
        {
            "num_feature_levels": 1,
            "backbone.out_indices": (3,),
            "bbox_head.mask_head.num_levels": 1,
            "bbox_head.mask_head.stride": 32,
        },
    ],
    ids=["resnet18", "three levels", "five levels", "one level"],
)
def test_parts_follow_backbone_and_number_of_levels(options):
    model = build_tiny(noise=0.05, **options)
    loss = total_loss(model.train(), clip_inputs(), [clip_sample(SIZE, BOXES)])
    loss.backward()
    assert loss.isfinite()
    levels = options.get("num_feature_levels", 4)
    assert model.encoder.num_levels == model.decoder.num_levels == levels
    assert len(predict(model.eval(), clip_inputs())[0]) == 5


BACKBONES = [
    dict(type="MobileNetV2", out_indices=(2, 4, 7)),
    dict(type="RegNet", arch="regnetx_400mf", out_indices=(1, 2, 3)),
    dict(
        type="SwinTransformer",
        embed_dims=24,
        depths=(1, 1, 1, 1),
        num_heads=(1, 2, 4, 8),
        out_indices=(1, 2, 3),
    ),
    dict(type="PyramidVisionTransformerV2", embed_dims=16, out_indices=(1, 2, 3)),
]


@pytest.mark.parametrize("backbone", BACKBONES, ids=lambda cfg: cfg["type"])
def test_backbones_of_mmdet_fit(backbone):
    cfg = tiny_config()._cfg_dict
    cfg["backbone"] = backbone
    model = MODELS.build(cfg)
    sample = clip_sample(SIZE, {0: [(8, 8, 40, 40)] * 2})
    assert total_loss(model, clip_inputs(num_frames=2), [sample]).isfinite()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"neck.in_channels": [64, 128, 256]},
            r"backbone gives maps of \[32, 64, 128\]",
        ),
        ({"neck.num_outs": 3}, "num_feature_levels is 4, but the neck gives 3"),
        ({"num_feature_levels": 2}, "num_feature_levels is 2, .* backbone gives 3"),
        ({"num_feature_levels": 0}, "num_feature_levels=0; give an integer"),
        ({"num_queries": 0}, "num_queries=0"),
        ({"train_cfg": {"assigner": {}}}, "train_cfg, which has assigner; the assig"),
        ({"test_cfg.frames_per_chunk": 0}, "test_cfg has frames_per_chunk=0"),
        ({"bbox_head.num_layers": 2}, "num_layers: decoder has 3, bbox_head has 2"),
        ({"bbox_head.num_layers": 4}, "num_layers: decoder has 3, bbox_head has 4"),
        ({"bbox_head.embed_dims": 32}, "embed_dims: .* bbox_head has 32"),
        ({"bbox_head.mask_head.embed_dims": 32}, "bbox_head.mask_head has 32"),
        ({"bbox_head.num_classes": 0}, "num_classes=0"),
        ({"neck.out_channels": 32}, "neck.out_channels has 32"),
        ({"positional_encoding.num_feats": 16}, "positional_encoding has 32"),
        (
            {"encoder.layer_cfg.self_attn_cfg.num_levels": 3},
            "num_levels: num_feature_levels has 4, encoder has 3",
        ),
        ({"decoder.layer_cfg.cross_attn_cfg.num_levels": 2}, "decoder has 2"),
        ({"bbox_head.mask_head.num_levels": 5}, "mask_head.num_levels is 5, .* are 4"),
        ({"bbox_head.mask_head.stride": 4}, "stride of the finest .* has 8, .* has 4"),
        ({"decoder.layer_cfg.self_attn_cfg.num_heads": 7}, "64 channels .* 7 heads"),
    ],
)
def test_parts_that_do_not_fit_are_refused_at_the_start(options, message):
    with pytest.raises(UsageError, match=message):
        MODELS.build(tiny_config(**options)._cfg_dict)
