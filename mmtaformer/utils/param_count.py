"""Counting the parameters of a model, also as the paper does."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from mmdet.registry import MODELS
from mmengine.registry import DefaultScope
from torch import nn
from torch.overrides import TorchFunctionMode

from .errors import DataError

# The released code of SeqFormer has class outputs for the raw category ids 0 to 41,
# of which YouTube-VIS uses 1 to 40.
UNUSED_CLASS_OUTPUTS = 2


class _ParametersOnMeta(TorchFunctionMode):
    """Lets ``torch.empty``, with which layers make their parameters, take no memory.

    ``torch.device("meta")`` would move everything, and some of mmdet's constructors
    read the values of the small tensors that they calculate with.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.empty and kwargs.get("device") is None:
            kwargs = {**kwargs, "device": "meta"}
        return func(*args, **kwargs)


def build_skeleton(model_cfg: Mapping[str, Any]) -> nn.Module:
    """Build a model whose parameters have shapes but no values.

    Nothing is initialized and nothing downloaded, so that this takes a second and
    little memory whatever the size of the model.

    Args:
        model_cfg: The ``model`` of a config.

    Returns:
        nn.Module: The model; it can be looked at, but not run.
    """
    with DefaultScope.overwrite_default_scope("mmdet"), _ParametersOnMeta():
        return MODELS.build(model_cfg)


def count_trainable(model: nn.Module) -> int:
    """Count the elements of the parameters that receive a gradient."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def count_parts(model: nn.Module) -> dict[str, int]:
    """Count the trainable parameters of every part of a model.

    Returns:
        dict[str, int]: Name of the part -> number of elements; parts without
        trainable parameters are left out.
    """
    counts: Counter[str] = Counter()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            counts[name.partition(".")[0]] += parameter.numel()
    return dict(counts)


def count_published(model: nn.Module) -> int:
    """Count as the column "Params" of the paper's Tables 1, 2 and 7 does.

    Its figures are the sizes of checkpoints of SeqFormer's released code and of what
    was built on it. All nine (Table 1: SeqFormer 49.3, 68.4, 220.0 M and TAFormer
    52.2, 71.3, 222.9 M; Table 7: 50.4, 51.0, 51.6 M) come out to the last digit as
    the number of elements of the state dict

    - with the statistics of batch norm, but not ``num_batches_tracked``, which frozen
      batch norm lacks;
    - with the buffers ``relative_position_index`` of Swin Transformer. Without them
      Swin-L would have 219.5 and 222.4 M. Its norms are those of the three outputs
      in use; the released code has one more, whose 384 elements change no digit;
    - with the box branches twice, which the released decoder stores again;
    - with the second output projection (C -> C) of every encoder layer, which the
      released encoder inherits from the decoder's attention and never uses;
    - with 42 class outputs for 40 classes. With 40 SeqFormer-R101 would have 68.3 M.

    Args:
        model: A ``TAFormer``, with or without temporal parts.

    Returns:
        int: Number of elements.

    Raises:
        DataError: If the model is not a TAFormer.
    """
    head, encoder = getattr(model, "bbox_head", None), getattr(model, "encoder", None)
    if not hasattr(head, "reg_branches") or not hasattr(encoder, "layers"):
        raise DataError(
            f"The paper's count is defined for the model TAFormer, but the config has "
            f"{type(model).__name__}; give a config of TAFormer or SeqFormer."
        )
    state = sum(
        value.numel()
        for name, value in model.state_dict().items()
        if not name.endswith("num_batches_tracked")
    )
    boxes = sum(parameter.numel() for parameter in head.reg_branches.parameters())
    dims = encoder.embed_dims
    projections = len(encoder.layers) * dims * (dims + 1)
    classes = len(head.cls_branches) * UNUSED_CLASS_OUTPUTS * (dims + 1)
    return state + boxes + projections + classes
