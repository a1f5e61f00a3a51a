"""The feed-forward network of encoder and decoder layers."""

from __future__ import annotations

from typing import Any

from mmcv.cnn.bricks.transformer import FFN

from .dropout import replace_dropout


def build_ffn(**cfg: Any) -> FFN:
    """Mmcv's FFN with a backward pass that copies less.

    Its default ReLU works in place on a view of what the linear layer returned, for
    which autograd copies gradients twice; keeping both tensors takes no memory, as the
    first is not needed for the backward pass.

    Args:
        cfg: Arguments of mmcv's FFN.
    """
    return replace_dropout(FFN(**{"act_cfg": dict(type="ReLU"), **cfg}))
