"""What maps a backbone and a neck give, found out without computing them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.registry import MODELS
from torch import Tensor, nn
from torch.func import functional_call

from mmtaformer.utils.errors import UsageError

# Divisible by every usual stride, and small.
_IMAGE_SIZE = 128


def build_neck(
    cfg: dict, backbone: nn.Module, num_feature_levels: int
) -> tuple[nn.Module, list[torch.Size]]:
    """Build a neck that fits its backbone.

    Args:
        cfg: Config of the neck. ``in_channels`` and ``num_outs`` may be left out: they
            follow the backbone and ``num_feature_levels``.
        backbone: The backbone.
        num_feature_levels: Number of levels L.

    Returns:
        tuple: The neck, and the (N, C, H, W) of its maps for images of 128 x 128.

    Raises:
        UsageError: If the neck fits neither.
    """
    maps = meta_call(backbone, _meta_image())
    channels = [feature.size(1) for feature in maps]
    cfg = {"in_channels": channels, "num_outs": num_feature_levels, **cfg}
    if list(cfg["in_channels"]) != channels:
        raise UsageError(
            f"neck.in_channels is {list(cfg['in_channels'])}, but the backbone gives "
            f"maps of {channels} channels; leave in_channels out to follow it."
        )
    if num_feature_levels < len(channels):
        raise UsageError(
            f"num_feature_levels is {num_feature_levels}, but the backbone gives "
            f"{len(channels)} maps; choose as many with backbone.out_indices."
        )
    neck = MODELS.build(cfg)
    shapes = [feature.shape for feature in meta_call(neck, maps)]
    if len(shapes) != num_feature_levels:
        raise UsageError(
            f"num_feature_levels is {num_feature_levels}, but the neck gives "
            f"{len(shapes)} maps; leave neck.num_outs out to follow it."
        )
    return neck, shapes


def meta_call(module: nn.Module, inputs: Tensor | Sequence[Tensor]) -> tuple:
    """Call a module on shapes alone: nothing is computed or changed.

    Args:
        module: Any module that gives a sequence of maps.
        inputs: Its input, on the device "meta".

    Returns:
        tuple: What it returns, on the device "meta".
    """
    state = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    state = {name: tensor.to("meta") for name, tensor in state.items()}
    training = {part: part.training for part in module.modules()}
    try:
        for part in training:
            part.training = False
        with torch.no_grad():
            return tuple(functional_call(module, state, (inputs,)))
    finally:
        for part, mode in training.items():
            part.training = mode


def _meta_image() -> Tensor:
    return torch.empty(1, 3, _IMAGE_SIZE, _IMAGE_SIZE, device="meta")


def strides_of(shapes: Sequence[torch.Size]) -> list[int]:
    """Strides in pixels of maps that :func:`build_neck` returned the shapes of."""
    return [round(_IMAGE_SIZE / shape[-1]) for shape in shapes]
