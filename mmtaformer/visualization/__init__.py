"""Drawing of instances over whole videos: frames, videos and contact sheets."""

from .draw import auto_scale, draw_track_frame, read_frame
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

__all__ = [
    "SheetClip",
    "Track",
    "auto_scale",
    "contact_sheet",
    "draw_track_frame",
    "match_colors",
    "read_frame",
    "track_color",
    "tracks_from_annotations",
    "tracks_from_frames",
    "tracks_from_results",
    "write_video",
]
