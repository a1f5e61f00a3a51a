"""Operators, and what they run on."""

from .backends import set_attention_backend
from .cpu_dropout import use_cpu_dropout
from .deformable_attention import spatio_temporal_deformable_attention

__all__ = [
    "set_attention_backend",
    "spatio_temporal_deformable_attention",
    "use_cpu_dropout",
]
