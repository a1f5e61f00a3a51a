"""Data sets and the transforms that turn their videos into clips."""

from .transforms import (
    ClipRandomChoice,
    ClipSample,
    FilterEmptyClip,
    LoadFrame,
    LoadVideoAnnotations,
    UInt8PhotoMetricDistortion,
)
from .ytvis import YTVISDataset

__all__ = [
    "ClipRandomChoice",
    "ClipSample",
    "FilterEmptyClip",
    "LoadFrame",
    "LoadVideoAnnotations",
    "UInt8PhotoMetricDistortion",
    "YTVISDataset",
]
