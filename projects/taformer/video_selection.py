"""Which videos and frames a figure shows."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmtaformer.utils.launch import UsageError


def add_video_arguments(
    parser: argparse.ArgumentParser, num_videos: int, with_frames: bool = True
) -> None:
    """Add the options that name ground truth, frames, and videos to show."""
    parser.add_argument("gt", help="ground truth in the official JSON format")
    parser.add_argument("--img-prefix", required=True, help="folder of the frames")
    parser.add_argument(
        "--video-ids",
        type=int,
        nargs="+",
        metavar="ID",
        help=f"videos to show (default: {num_videos}, evenly spread over the file)",
    )
    if with_frames:
        parser.add_argument(
            "--num-frames",
            type=int,
            default=5,
            help="frames of each video, evenly spread over it (default: 5)",
        )
    parser.set_defaults(num_videos=num_videos)


def select_videos(
    ground_truth: Mapping[str, Any], video_ids: Sequence[int] | None, num_videos: int
) -> list[dict[str, Any]]:
    """Choose videos.

    Args:
        ground_truth: Content of the file.
        video_ids: Their ids, in the order in which they are shown; None for a choice.
        num_videos: How many to choose if no ids are given.

    Returns:
        Entries of ``videos``.

    Raises:
        UsageError: If there is no video of an id.
    """
    videos = {video["id"]: video for video in ground_truth["videos"]}
    if video_ids is None:
        return spread(list(videos.values()), num_videos)
    for video_id in video_ids:
        if video_id not in videos:
            raise UsageError(
                f"there is no video {video_id} in the ground truth; its {len(videos)} "
                f"videos have ids from {min(videos)} to {max(videos)}."
            )
    return [videos[video_id] for video_id in video_ids]


def spread(items: Sequence[Any], count: int) -> list[Any]:
    """Choose ``count`` items at most, evenly spread from the first to the last."""
    if count >= len(items):
        return list(items)
    return [items[round(i)] for i in np.linspace(0, len(items) - 1, count)]


def annotations_of(
    ground_truth: Mapping[str, Any], video: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The annotations of a video."""
    annotations = ground_truth.get("annotations") or []
    return [a for a in annotations if a["video_id"] == video["id"]]


def folder_name(video: Mapping[str, Any]) -> str:
    """Name of the folder of a video, which is what YouTube-VIS calls it."""
    return Path(video["file_names"][0]).parent.name
