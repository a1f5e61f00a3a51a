"""What makes a model faster that only predicts."""

from typing import Any

import torch
from mmcv.cnn.bricks.transformer import FFN
from mmcv.cnn.utils import fuse_conv_bn
from mmdet.models.backbones import ResNet
from torch import nn


def fuse_for_inference(model: nn.Module) -> nn.Module:
    """Make a TAFormer or SeqFormer faster, in place, for prediction alone.

    - Batch norms of a residual network are folded into the convolutions before them,
      so that the state dict is another one. mmcv tells which by the order in which a
      class names its layers, so other backbones are left as they are.
    - On the CPU the backbone computes channels-last, as its convolutions do anyway.
    - The ReLUs of feed-forward networks work in place; in training that costs copies.

    Results are the same up to rounding.

    Args:
        model: What :func:`init_model` returned.

    Returns:
        The same model.
    """
    backbone: Any = model.backbone
    if isinstance(backbone, ResNet):
        fuse_conv_bn(backbone)
    if next(backbone.parameters()).device.type == "cpu":
        backbone.to(memory_format=torch.channels_last)
    for ffn in filter(lambda module: isinstance(module, FFN), model.modules()):
        for layer in ffn.modules():
            if isinstance(layer, nn.ReLU):
                layer.inplace = True
    return model
