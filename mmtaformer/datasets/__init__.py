"""Data sets and the transforms that turn their videos into clips."""

from .concat_clips import ConcatClipDataset
from .pseudo_clips import CocoPseudoClipDataset
from .transforms import (
    ClipRandomChoice,
    ClipSample,
    FilterEmptyClip,
    LoadFrame,
    LoadVideoAnnotations,
    RepeatFrame,
    RotateFrame,
    UInt8PhotoMetricDistortion,
)
from .ytvis import YTVISDataset

__all__ = [
    "ClipRandomChoice",
    "ClipSample",
    "CocoPseudoClipDataset",
    "ConcatClipDataset",
    "FilterEmptyClip",
    "LoadFrame",
    "LoadVideoAnnotations",
    "RepeatFrame",
    "RotateFrame",
    "UInt8PhotoMetricDistortion",
    "YTVISDataset",
]
