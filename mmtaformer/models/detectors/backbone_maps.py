"""What maps a backbone and a neck give, found out before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmdet.registry import MODELS
from torch import nn
from torch.func import functional_call

from mmtaformer.utils.errors import UsageError

Shape = tuple[int, ...]

# Divisible by every usual stride, and small.
IMAGE_SIZE = 128


def build_neck(
    cfg: dict, backbone: nn.Module, num_feature_levels: int
) -> tuple[nn.Module, list[Shape]]:
    """Build a neck that fits its backbone.

    Args:
        cfg: Config of the neck. ``in_channels`` and ``num_outs`` may be left out: they
            follow the backbone and ``num_feature_levels``.
        backbone: The backbone.
        num_feature_levels: Number of levels L.

    Returns:
        tuple: The neck, and the (N, C, H, W) of its maps for an image of
        ``IMAGE_SIZE``.

    Raises:
        UsageError: If it does not fit the backbone or the number of levels.
    """
    maps = output_shapes(backbone, (1, 3, IMAGE_SIZE, IMAGE_SIZE))
    channels = [shape[1] for shape in maps]
    cfg = {"in_channels": channels, "num_outs": num_feature_levels, **cfg}
    if list(cfg["in_channels"]) != channels:
        raise UsageError(
            f"neck.in_channels is {list(cfg['in_channels'])}, but the backbone gives "
            f"maps of {channels} channels; leave in_channels out to follow it."
        )
    if num_feature_levels < len(maps):
        raise UsageError(
            f"num_feature_levels is {num_feature_levels}, but the backbone gives "
            f"{len(maps)} maps; choose as many with backbone.out_indices."
        )
    neck = MODELS.build(cfg)
    levels = output_shapes(neck, maps)
    if len(levels) != num_feature_levels:
        raise UsageError(
            f"num_feature_levels is {num_feature_levels}, but the neck gives "
            f"{len(levels)} maps; leave neck.num_outs out to follow it."
        )
    return neck, levels


def output_shapes(module: nn.Module, inputs: Shape | list[Shape]) -> list[Shape]:
    """Shapes of the maps that a module gives; the module stays as it is.

    Args:
        module: A backbone or a neck.
        inputs: Shape of its input, or shapes if that is a list of maps.
    """
    with torch.no_grad(), _evaluating(module):
        try:
            return _call(module, inputs, on_meta=True)
        except (NotImplementedError, RuntimeError):
            # An operator that cannot do without values, as deformable convolutions.
            return _call(module, inputs, on_meta=False)


def _call(module: nn.Module, inputs: Shape | list[Shape], on_meta: bool) -> list[Shape]:
    """Call a module on shapes alone, which computes nothing, or on zeros."""
    state = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    device = next((tensor.device for tensor in state.values()), torch.device("cpu"))
    if on_meta:
        device = torch.device("meta")
        state = {name: tensor.to(device) for name, tensor in state.items()}
    if isinstance(inputs, list):
        zeros: Any = [torch.zeros(shape, device=device) for shape in inputs]
    else:
        zeros = torch.zeros(inputs, device=device)
    return [tuple(out.shape) for out in functional_call(module, state, (zeros,))]


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Keep a module from dropping, counting and drawing random numbers."""
    modes = {part: part.training for part in module.modules()}
    try:
        for part in modes:
            part.training = False
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode
