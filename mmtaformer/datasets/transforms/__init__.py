"""Transforms of video clips, to be used with mmdet's and mmcv's."""

from .adapted import ClipRandomChoice, UInt8PhotoMetricDistortion
from .filtering import FilterEmptyClip
from .frame_sampling import ClipSample
from .loading import LoadFrame, LoadVideoAnnotations
from .pseudo_clip import RepeatFrame, RotateFrame

__all__ = [
    "ClipRandomChoice",
    "ClipSample",
    "FilterEmptyClip",
    "LoadFrame",
    "LoadVideoAnnotations",
    "RepeatFrame",
    "RotateFrame",
    "UInt8PhotoMetricDistortion",
]
