"""Operators; one function each, one backend per device."""

from .deformable_attention import spatio_temporal_deformable_attention

__all__ = ["spatio_temporal_deformable_attention"]
