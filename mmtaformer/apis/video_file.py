"""Reading of video files, through PyAV."""

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log

from mmtaformer.utils.errors import DataError

from .frame import Frame


class VideoFile:
    """The frames of a video file, upright, with their times.

    A rotation in the metadata, as phones write it, is carried out. A file that breaks
    off in the middle ends there, with a warning.

    Args:
        path: The file, or an address that FFmpeg reads.

    Raises:
        DataError: If it is no video, has no frames, or its codec is unknown.
    """

    repeatable = True

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = str(path)
        self.name = Path(self.path).stem
        with self._open() as (container, stream):
            rate = stream.average_rate or stream.guessed_rate
            self.fps = float(rate) if rate else None
            self.num_frames: int | None = stream.frames or None
            if self.num_frames is None and self.fps and container.duration:
                self.num_frames = round(container.duration / 1e6 * self.fps)

    def __iter__(self) -> Iterator[Frame]:
        count, size, first_time = 0, None, 0.0
        with self._open() as (container, stream):
            stream.thread_type = "AUTO"
            for picture in self._decoded(container, stream):
                image = _upright(picture)
                size = image.shape[:2] if size is None else size
                if image.shape[:2] != size:
                    raise DataError(
                        f"frame {count} of {self.path} has height and width "
                        f"{image.shape[:2]}, but the first one has {size}; cut the "
                        "video where its size changes."
                    )
                # Some containers have no times, some start late.
                time = picture.time
                time = count / (self.fps or 25.0) if time is None else time
                first_time = time if count == 0 else first_time
                yield Frame(image, time - first_time)
                count += 1

    def _decoded(self, container: Any, stream: Any) -> Iterator[Any]:
        """Pictures up to the end of the file, or of what is readable of it."""
        import av

        count, reason = 0, None
        try:
            for picture in container.decode(stream):
                yield picture
                count += 1
        except av.error.FFmpegError as error:
            reason = error.strerror
        if count == 0:
            raise DataError(
                f"{self.path} has no frame that can be decoded"
                + (f" ({reason})." if reason else ".")
            )
        if reason is None and stream.frames > count:
            reason = f"{stream.frames} were announced"
        if reason is not None:
            self._warn_of_end(count, reason)
        self.num_frames = count

    def _warn_of_end(self, count: int, reason: str) -> None:
        print_log(
            f"{self.path} ends early, after {count} frames ({reason}); results go up "
            "to there.",
            logger="current",
            level=logging.WARNING,
        )

    @contextmanager
    def _open(self) -> Iterator[tuple[Any, Any]]:
        import av

        try:
            container = av.open(self.path)
        except av.error.FFmpegError as error:
            if error.errno in (errno.EACCES, errno.ENOENT):
                raise
            raise DataError(
                f"{self.path} is not a video that FFmpeg can read ({error.strerror}); "
                "it may be damaged or incomplete."
            ) from error
        with container:
            if not container.streams.video:
                raise DataError(f"{self.path} has no video, only sound or data.")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise DataError(
                    f"the codec of {self.path} is unknown to this FFmpeg; convert it: "
                    "ffmpeg -i IN -c:v libx264 OUT.mp4"
                )
            yield container, stream


def _upright(picture: Any) -> np.ndarray:
    """BGR image of a decoded picture, turned as the metadata say."""
    image = picture.to_ndarray(format="bgr24")
    turns = round(getattr(picture, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image
