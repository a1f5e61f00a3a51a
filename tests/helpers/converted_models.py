"""Small models that converted weights are loaded into."""

import torch
from mmdet.registry import MODELS

from .models import tiny_config
from .released import Sizes


def model_config(name: str, sizes: Sizes, **options) -> dict:
    """A small config with a ResNet-50 of an eighth of the channels."""
    attention = dict(embed_dims=sizes.dims, num_heads=sizes.heads)
    ffn = dict(embed_dims=sizes.dims, feedforward_channels=sizes.feedforward)
    config = tiny_config(
        name,
        **{
            "num_queries": sizes.queries,
            "num_feature_levels": sizes.levels,
            "backbone.depth": 50,
            "backbone.base_channels": 8,
            "neck.in_channels": list(sizes.in_channels),
            "neck.out_channels": sizes.dims,
            "neck.num_outs": sizes.levels,
            "positional_encoding.num_feats": sizes.dims // 2,
            "encoder.num_layers": sizes.encoder_layers,
            "encoder.layer_cfg.self_attn_cfg": dict(
                **attention, num_levels=sizes.levels, num_points=sizes.encoder_points
            ),
            "encoder.layer_cfg.ffn_cfg": ffn,
            "decoder.num_layers": sizes.decoder_layers,
            "decoder.layer_cfg.self_attn_cfg": attention,
            "decoder.layer_cfg.cross_attn_cfg": dict(
                **attention, num_levels=sizes.levels, num_points=sizes.decoder_points
            ),
            "decoder.layer_cfg.ffn_cfg": ffn,
            "bbox_head.num_classes": sizes.classes,
            "bbox_head.num_layers": sizes.decoder_layers,
            "bbox_head.embed_dims": sizes.dims,
            "bbox_head.mask_head": dict(
                embed_dims=sizes.dims, feature_channels=None, distance_unit=1.0
            ),
        },
    )
    config.merge_from_dict(options)
    return config._cfg_dict


def build(name: str, sizes: Sizes, **options) -> torch.nn.Module:
    """The model of :func:`model_config`."""
    return MODELS.build(model_config(name, sizes, **options)).eval()
