"""The feed-forward network of encoder and decoder layers."""

from __future__ import annotations

from typing import Any

from mmcv.cnn.bricks.transformer import FFN

from .dropout import replace_dropout


def build_ffn(**cfg: Any) -> FFN:
    """Mmcv's FFN with a backward pass that copies less.

    An activation that works in place, as mmcv's default and most configs have it, does
    so on a view of what the linear layer returned, for which autograd copies gradients
    twice. Here none does; keeping both tensors takes no memory, as the first is not
    needed for the backward pass.

    Args:
        cfg: Arguments of mmcv's FFN.
    """
    ffn = replace_dropout(FFN(**cfg))
    for module in ffn.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # type: ignore[assignment]
    return ffn
