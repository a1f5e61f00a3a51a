"""Checking that the frames of a YouTube-VIS annotation file are on disk."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image, UnidentifiedImageError

_EXIF_ORIENTATION = 0x0112
_EXIF_QUARTER_TURNS = (5, 6, 7, 8)


def check_frames(videos: Sequence[Mapping[str, Any]], folder: str) -> None:
    """Check that every frame exists and that the videos have the size of the JSON.

    Folders are listed instead of asking for each file, and of each video only the
    header of the first frame is read: both matter on network file systems.

    Args:
        videos: The ``videos`` of the annotation file.
        folder: Folder that their ``file_names`` are relative to.

    Raises:
        FileNotFoundError: If a frame is missing.
        ValueError: If the first frame of a video is no image or has another size.
    """
    _check_existence(videos, folder)
    for video in videos:
        path = os.path.join(folder, video["file_names"][0])
        size = read_image_size(path)
        if size != (video["width"], video["height"]):
            raise ValueError(
                size_message(path, video["id"], size, (video["width"], video["height"]))
            )


def read_image_size(path: str) -> tuple[int, int]:
    """Read (width, height) in pixels, as displayed, from the header of an image.

    Args:
        path: Path of the image.

    Raises:
        ValueError: If the file is not an image.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(_EXIF_ORIENTATION) in _EXIF_QUARTER_TURNS
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(
            f"{path} is not a readable image; extract or download it again."
        ) from error
    return (height, width) if turned else (width, height)


def name_frame(path: str, video_id: int | None) -> str:
    """How to call a frame in a message; the id of its video may be unknown."""
    return path if video_id is None else f"{path} (video {video_id})"


def size_message(
    path: str,
    video_id: int | None,
    found: tuple[int, int],
    expected: tuple[int, int],
) -> str:
    """What to tell the user about a frame whose size is not the one of the JSON.

    Args:
        path: Path of the frame.
        video_id: Id of its video, if known.
        found: (width, height) of the image.
        expected: (width, height) in the annotation file.
    """
    return (
        f"{name_frame(path, video_id)} is {found[0]} x {found[1]} pixels, but the "
        f"annotation file says {expected[0]} x {expected[1]}; masks would not fit: use "
        "the frames that were annotated, or correct width and height in the file."
    )


def _check_existence(videos: Sequence[Mapping[str, Any]], folder: str) -> None:
    listings: dict[str, frozenset[str]] = {}
    missing = []
    for video in videos:
        for name in video["file_names"]:
            parent, base = os.path.split(os.path.join(folder, name))
            if parent not in listings:
                listings[parent] = _list_folder(parent)
            if base not in listings[parent]:
                missing.append((video["id"], os.path.join(parent, base)))
    if not missing:
        return
    total = sum(len(video["file_names"]) for video in videos)
    video_id, path = missing[0]
    raise FileNotFoundError(
        f"{len(missing)} of the {total} frames of the annotation file are missing in "
        f"'{folder}', the first of them {name_frame(path, video_id)}; unpack the "
        "images there, or correct data_root and data_prefix=dict(img_path=...)."
    )


def _list_folder(path: str) -> frozenset[str]:
    try:
        return frozenset(os.listdir(path or "."))
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
