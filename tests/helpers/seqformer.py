"""The SeqFormer config in the sizes of the reference, with the reference's weights."""

import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.config import Config
from torch import Tensor, nn

from mmtaformer.converters import convert_seqformer

from .golden import REPO_ROOT

CONFIG = REPO_ROOT / "configs/_base_/models/seqformer_r50.py"


class Pyramid(nn.Module):
    """Stands in for a backbone: maps of the given channels at strides 8, 16, 32."""

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, images: Tensor) -> list[Tensor]:
        grey = images.mean(dim=1, keepdim=True)
        return [
            F.avg_pool2d(grey, 8 * 2**level).expand(-1, channels, -1, -1)
            for level, channels in enumerate(self.channels)
        ]


def build_model(meta: dict) -> nn.Module:
    """SeqFormer in the sizes of a reference file, with losses that are not weighted."""
    config = Config(Config.fromfile(CONFIG).model)
    dims, heads = meta["embed_dims"], meta["num_heads"]
    ffn = dict(embed_dims=dims, feedforward_channels=meta["feedforward"], ffn_drop=0.0)
    attention = dict(embed_dims=dims, num_heads=heads)
    config.merge_from_dict(
        {
            "num_queries": meta["num_queries"],
            "neck.out_channels": dims,
            "positional_encoding.num_feats": dims // 2,
            "encoder.num_layers": meta["encoder_layers"],
            "encoder.layer_cfg.self_attn_cfg": dict(
                **attention, num_points=meta["enc_points"]
            ),
            "encoder.layer_cfg.ffn_cfg": ffn,
            "decoder.num_layers": meta["decoder_layers"],
            "decoder.layer_cfg.self_attn_cfg": attention,
            "decoder.layer_cfg.cross_attn_cfg": dict(
                **attention, num_points=meta["dec_points"]
            ),
            "decoder.layer_cfg.ffn_cfg": ffn,
            "bbox_head.num_classes": meta["num_classes"],
            "bbox_head.embed_dims": dims,
            "bbox_head.mask_head.embed_dims": dims,
        }
    )
    for loss in ("loss_cls", "loss_bbox", "loss_iou", "loss_mask", "loss_dice"):
        config.bbox_head[loss].loss_weight = 1.0
    config._cfg_dict["backbone"] = dict(type=Pyramid, channels=meta["in_channels"])
    return MODELS.build(config._cfg_dict)


def renamed(released: dict) -> dict:
    """Values of the released code's parameters under their names here.

    What the released code registers twice may be given under either name.
    """
    once = {
        name.replace("detr.transformer.decoder.bbox_embed", "detr.bbox_embed"): value
        for name, value in released.items()
    }
    return convert_seqformer(once).state_dict
