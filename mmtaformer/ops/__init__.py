"""Operators; one function each, one backend per device."""

from .backends import set_attention_backend
from .deformable_attention import spatio_temporal_deformable_attention

__all__ = ["set_attention_backend", "spatio_temporal_deformable_attention"]
