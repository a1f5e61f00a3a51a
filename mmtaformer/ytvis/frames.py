"""Checking that the frames of a YouTube-VIS annotation file are on disk."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from mmtaformer.utils.errors import DataError

from .images import read_header, size_message

_ROOTS = ("/", "\\")
_LONGEST_PATH = 300  # characters of it in a message


def check_frames(
    videos: Sequence[Mapping[str, Any]], folder: str, allow_outside: bool = False
) -> None:
    """Check that every frame exists and that the videos have the size of the JSON.

    Folders are listed instead of asking for each file, and of each video only the
    header of the first frame is read: both matter on network file systems.

    Args:
        videos: The ``videos`` of the annotation file.
        folder: Folder that their ``file_names`` are relative to.
        allow_outside: Whether frames may be links that lead out of the folder.

    Raises:
        FileNotFoundError: If a frame is missing.
        DataError: If a frame is a link that leads out of the folder, or the first
            frame of a video is no image or has another size.
    """
    _check_existence(videos, folder, allow_outside)
    for video in videos:
        path = os.path.join(folder, video["file_names"][0])
        name = name_frame(path, video["id"])
        size, expected = read_header(path, name).size, (video["width"], video["height"])
        if size != expected:
            raise DataError(size_message(name, size, expected))


def check_names(videos: Sequence[Mapping[str, Any]], path: str) -> None:
    """Check that no file name leads out of the image folder by itself.

    Args:
        videos: The ``videos`` of the annotation file.
        path: Path of the file, for the error message.

    Raises:
        DataError: If a name is absolute or has a part "..".
    """
    for video in videos:
        for name in video["file_names"]:
            if ".." not in name and ":" not in name and name[:1] not in _ROOTS:
                continue  # paths of pathlib take ten times as long
            kinds = PurePosixPath(name), PureWindowsPath(name)
            if any(kind.anchor or ".." in kind.parts for kind in kinds):
                raise DataError(_outside(f"{path}: video {video['id']}", name))


def name_frame(path: str, video_id: int | None) -> str:
    """How to call a frame in a message; the id of its video may be unknown."""
    path = _show_path(path)
    return path if video_id is None else f"{path} (video {video_id})"


def _show_path(path: str) -> str:
    """A path in a message: on one line, and not as long as a stranger likes."""
    if len(path) > _LONGEST_PATH:
        half = _LONGEST_PATH // 2
        path = f"{path[:half]}...{path[-half:]}"
    return path if path.isprintable() else repr(path)


def _outside(where: str, name: str) -> str:
    return (
        f"{where}: the frame {_show_path(name)} lies outside of the image folder; "
        "correct 'file_names', or set allow_outside_root=True in the data set if you "
        "trust the file."
    )


def _check_existence(
    videos: Sequence[Mapping[str, Any]], folder: str, allow_outside: bool
) -> None:
    listings: dict[str, tuple[frozenset[str], frozenset[str]]] = {}
    missing = []
    for video in videos:
        for name in video["file_names"]:
            parent, base = os.path.split(os.path.join(folder, name))
            if parent not in listings:
                listings[parent] = _list_files(parent, folder)
            inside, outside = listings[parent]
            if base in outside and not allow_outside:
                path = os.path.join(parent, base)
                raise DataError(_outside(f"video {video['id']}", path))
            if base not in inside and base not in outside:
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


def _list_files(path: str, root: str) -> tuple[frozenset[str], frozenset[str]]:
    """Names of the files of a folder, those really under ``root`` and the others.

    Folders, pipes and the like are no frames.
    """
    try:
        with os.scandir(path or ".") as entries:
            files = [entry for entry in entries if entry.is_file()]
    except OSError:
        return frozenset(), frozenset()
    names = frozenset(entry.name for entry in files)
    if not _is_inside(path, root):
        return frozenset(), names
    links = [entry for entry in files if entry.is_symlink()]
    outside = frozenset(e.name for e in links if not _is_inside(e.path, root))
    return names - outside, outside


def _is_inside(path: str, root: str) -> bool:
    """Whether a path leads to a place under a folder, links followed."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))
