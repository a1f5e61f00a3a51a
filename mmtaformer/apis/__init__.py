"""Models from config and weights, and tracks from videos.

Importing this package imports what draws and reads videos; ``import mmtaformer`` does
not.
"""

from .clip_instances import ClipInstances
from .fusing import fuse_for_inference
from .inference import inference_video, init_model
from .inferencer import VISInferencer
from .linking import ClipLinker
from .online import FrameTrack
from .tracking import TrackingOptions, TrackStream
from .video_info import VideoInfo
from .video_tracks import VideoTracks
from .zoo import list_models

__all__ = [
    "ClipInstances",
    "ClipLinker",
    "FrameTrack",
    "TrackStream",
    "TrackingOptions",
    "VISInferencer",
    "VideoInfo",
    "VideoTracks",
    "fuse_for_inference",
    "inference_video",
    "init_model",
    "list_models",
]
