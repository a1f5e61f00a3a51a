"""Tracks in the formats of other tools."""

import importlib
import json
import os
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from mmtaformer.utils.files import atomic_path
from mmtaformer.visualization import Track
from mmtaformer.ytvis.rle import area, bounding_box, decode

from .video_info import VideoInfo

PathType = str | os.PathLike[str]


def require(name: str, purpose: str) -> ModuleType:
    """Import an optional package.

    Args:
        name: Name of the package.
        purpose: What needs it.

    Raises:
        ImportError: If it is not installed; one sentence that says what to do.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"{purpose} needs {name}, which is not installed: pip install {name}"
        ) from error


def results(
    tracks: Sequence[Track], path: PathType | None, video_id: int
) -> list[dict[str, Any]]:
    """Entries of the official results format; see :meth:`VideoTracks.to_json`."""
    entries = [
        {
            "video_id": video_id,
            "category_id": track.label + 1,
            "score": track.score,
            "segmentations": list(track.masks),
        }
        for track in tracks
    ]
    _write_json(entries, path)
    return entries


def annotations(
    tracks: Sequence[Track],
    info: VideoInfo,
    classes: Sequence[str],
    path: PathType | None,
) -> dict[str, Any]:
    """Content of an annotation file; see :meth:`VideoTracks.to_coco_vid`."""
    names = info.file_names or [f"{t:05d}.jpg" for t in range(info.num_frames)]
    video = {
        "id": 1,
        "width": info.width,
        "height": info.height,
        "length": info.num_frames,
        "file_names": [f"{info.name}/{name}" for name in names],
    }
    content = {
        "categories": [
            {"id": label + 1, "name": name} for label, name in enumerate(classes)
        ],
        "videos": [video],
        "annotations": [
            {
                "id": number,
                "video_id": 1,
                "category_id": track.label + 1,
                "iscrowd": 0,
                "segmentations": list(track.masks),
                "areas": [rle and area(rle) for rle in track.masks],
                "bboxes": [rle and bounding_box(rle) for rle in track.masks],
            }
            for number, track in enumerate(tracks, start=1)
        ],
    }
    _write_json(content, path)
    return content


def dataframe(tracks: Sequence[Track], times: Sequence[float]) -> Any:
    """One row per track and frame; see :meth:`VideoTracks.to_dataframe`."""
    pandas = require("pandas", "to_dataframe()")
    columns = ["frame", "time", "track_id", "class", "score", "visible"]
    columns += ["x1", "y1", "x2", "y2", "area"]
    rows = []
    for track in tracks:
        for t, rle in enumerate(track.masks):
            box = track.box(t) if rle else (np.nan,) * 4
            pixels = area(rle) if rle else np.nan
            head = (t, times[t], track.track_id, track.name, track.score)
            rows.append((*head, rle is not None, *box, pixels))
    return pandas.DataFrame(rows, columns=columns)


def detections(tracks: Sequence[Track], t: int) -> Any:
    """The tracks in frame ``t``; see :meth:`VideoTracks.to_supervision`."""
    supervision = require("supervision", "to_supervision()")
    visible = [track for track in tracks if track.masks[t]]
    rles = [rle for track in visible if (rle := track.masks[t])]
    if not visible:
        return supervision.Detections.empty()
    return supervision.Detections(
        xyxy=np.array([track.box(t) for track in visible]),
        mask=np.stack([decode(rle).astype(bool) for rle in rles]),
        confidence=np.array([track.score for track in visible]),
        class_id=np.array([track.label for track in visible]),
        tracker_id=np.array([track.track_id for track in visible]),
        data={"class_name": np.array([track.name for track in visible])},
    )


def _write_json(content: Any, path: PathType | None) -> None:
    if path is not None:
        with atomic_path(path) as partial:
            partial.write_text(json.dumps(content))
