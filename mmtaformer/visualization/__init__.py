"""Drawing of instances over whole videos: frames, videos and contact sheets."""

from .draw import auto_scale, draw_side_by_side, draw_track_frame, read_frame
from .selection import confident, describe, drop_duplicates
from .sheet import SheetClip, contact_sheet
from .tracks import (
    Track,
    match_colors,
    track_color,
    tracks_from_annotations,
    tracks_from_frames,
    tracks_from_results,
)
from .video import write_video
from .visualizer import TrackVisualizer

__all__ = [
    "SheetClip",
    "Track",
    "TrackVisualizer",
    "auto_scale",
    "confident",
    "contact_sheet",
    "describe",
    "draw_side_by_side",
    "draw_track_frame",
    "drop_duplicates",
    "match_colors",
    "read_frame",
    "track_color",
    "tracks_from_annotations",
    "tracks_from_frames",
    "tracks_from_results",
    "write_video",
]
