"""Activation checkpointing: layers are computed again in the backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
)

import mmtaformer.ops  # noqa: F401  registers the operators

# Sampling takes long and its result is small; it is its inputs, offsets and weights of
# every sample, that fill the memory, and these are quickly computed again.
_KEPT = (
    torch.ops.mmtaformer.spatio_temporal_deformable_attention.default,
    torch.ops.mmtaformer.triton_deformable_attention.default,
)


def _policy(context: Any, operator: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
    if operator in _KEPT:
        return CheckpointPolicy.MUST_SAVE
    return CheckpointPolicy.PREFER_RECOMPUTE


def recomputed(function: Callable, *args: Any, **kwargs: Any) -> Any:
    """Call a function whose activations are not kept for the backward pass.

    Args:
        function: What is called, a second time in the backward pass. Random numbers
            are the same both times, and the fused operator is not repeated.
        args: Its arguments.
        kwargs: Its arguments by keyword.
    """
    return checkpoint(
        function,
        *args,
        use_reentrant=False,
        context_fn=lambda: create_selective_checkpoint_contexts(_policy),
        **kwargs,
    )
