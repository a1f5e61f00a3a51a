"""Where frames come from: files, folders, arrays, cameras and streams.

Every source yields frames and decodes one at a time. The images are BGR, as everywhere
in OpenMMLab.
"""

import glob
import itertools
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from mmtaformer.utils.errors import DataError, UsageError

from .frame import Frame
from .video_file import VideoFile

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm")


class Source(Protocol):
    """What the sources have in common.

    Attributes:
        name: What results are called after.
        num_frames: Number of frames, as far as it is known beforehand.
        fps: Frames per second, as far as it is known beforehand.
        repeatable: Whether the frames can be read again.
    """

    @property
    def name(self) -> str: ...

    @property
    def num_frames(self) -> int | None: ...

    @property
    def fps(self) -> float | None: ...

    @property
    def repeatable(self) -> bool: ...

    def __iter__(self) -> Iterator[Frame]: ...


class ImageFiles:
    """Images on disk, in the given order.

    Args:
        paths: The files.
        name: What results are called after.
        fps: Frames per second that the images stand for.
    """

    repeatable = True

    def __init__(
        self, paths: Sequence[str | os.PathLike[str]], name: str, fps: float = 6.0
    ) -> None:
        self.paths = [Path(path) for path in paths]
        self.name = name
        self.fps = fps
        self.num_frames = len(self.paths)

    def __iter__(self) -> Iterator[Frame]:
        for index, path in enumerate(self.paths):
            if not path.is_file():
                raise FileNotFoundError(f"frame {path} does not exist; check the path.")
            image = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if image is None:
                raise DataError(f"{path} is not an image; it may be truncated.")
            yield Frame(image, index / self.fps, path.name)


class ArrayFrames:
    """Frames that are in memory.

    Args:
        frames: (T, H, W, 3) uint8, or T arrays (H, W, 3) or (H, W).
        name: What results are called after.
        fps: Frames per second that they stand for.
    """

    repeatable = True

    def __init__(
        self, frames: Sequence[np.ndarray], name: str = "array", fps: float = 6.0
    ) -> None:
        self.frames = frames
        self.name = name
        self.fps = fps
        self.num_frames = len(frames)

    def __iter__(self) -> Iterator[Frame]:
        for index, image in enumerate(self.frames):
            yield Frame(_as_bgr(image, index), index / self.fps)


class LiveFrames:
    """Frames of any iterator, which can be read once.

    Args:
        reads: Frames (H, W, 3), or pieces (n, H, W, 3) of any length.
        name: What results are called after.
        fps: Frames per second that they stand for.
    """

    repeatable = False
    num_frames = None

    def __init__(
        self, reads: Iterable[np.ndarray], name: str = "stream", fps: float = 6.0
    ) -> None:
        self.reads = reads
        self.name = name
        self.fps = fps

    def __iter__(self) -> Iterator[Frame]:
        pieces = (r if np.ndim(r) == 4 else [r] for r in self.reads)
        for index, image in enumerate(itertools.chain.from_iterable(pieces)):
            yield Frame(_as_bgr(image, index), index / self.fps)


class Camera:
    """A camera of this machine; its stream ends when the camera does.

    Args:
        index: Number of the camera.
    """

    repeatable = False
    num_frames = None

    def __init__(self, index: int) -> None:
        self.index = index
        self.name = f"camera{index}"
        self.fps: float | None = None

    def __iter__(self) -> Iterator[Frame]:
        capture = cv2.VideoCapture(self.index)
        try:
            if not capture.isOpened():
                raise UsageError(f"camera {self.index} cannot be opened.")
            self.fps = capture.get(cv2.CAP_PROP_FPS) or 30.0
            for index in itertools.count():
                read, image = capture.read()
                if not read:
                    return
                yield Frame(image, index / self.fps)
        finally:
            capture.release()


class SampledSource:
    """A part of a source: from start to end, every stride-th frame, or at a rate.

    Args:
        source: The whole source.
        start: First second that is used.
        end: Second before which the source ends; None for all.
        stride: Every how many frames one is used.
        fps: Rate at which frames are used, in frames per second of the source's time;
            of several frames between two instants the first one is. None for all.
    """

    def __init__(
        self,
        source: Source,
        start: float = 0.0,
        end: float | None = None,
        stride: int = 1,
        fps: float | None = None,
    ) -> None:
        if stride < 1:
            raise UsageError(f"stride is {stride}; give 1 for every frame, or more.")
        if fps is not None and fps <= 0:
            raise UsageError(f"fps is {fps}; give a positive number.")
        if end is not None and end <= start:
            raise UsageError(f"start {start} s is not before end {end} s.")
        self.source = source
        self.start, self.end, self.stride, self.rate = start, end, stride, fps

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def repeatable(self) -> bool:
        return self.source.repeatable

    @property
    def fps(self) -> float | None:
        full = self.source.fps
        if full is None or self.rate is None:
            return full and full / self.stride
        return min(self.rate, full) / self.stride

    @property
    def num_frames(self) -> int | None:
        count, full = self.source.num_frames, self.source.fps
        if count is None or full is None:
            return count
        seconds = min(count / full, self.end or np.inf) - self.start
        used = seconds * min(self.rate or full, full)
        return max(0, math.ceil(used / self.stride - 1e-6))

    def __iter__(self) -> Iterator[Frame]:
        kept = itertools.islice(self._at_rate(), 0, None, self.stride)
        return iter(kept)

    def _at_rate(self) -> Iterator[Frame]:
        due = 0
        for frame in self.source:
            # A millionth of a second forgives how decimal times are rounded.
            time = frame.time - self.start + 1e-6
            if self.end is not None and frame.time >= self.end:
                return
            if time < 0 or (self.rate is not None and time * self.rate < due):
                continue
            if self.rate is not None:
                due = int(time * self.rate) + 1
            yield frame


def open_source(source: Any, name: str | None = None) -> Source:
    """Find out what a source is.

    Args:
        source: Path of a video, a folder of images or a pattern such as
            ``frames/*.jpg``; a list of image paths or arrays; an array (T, H, W, 3)
            or (T, H, W); the number of a camera; any iterator of arrays; or a source.
        name: What results are called after, instead of a name made of the source.

    Raises:
        FileNotFoundError: If there is no such file.
        DataError: If a folder or pattern has no images, or a list nothing.
        UsageError: If the source is none of the above.
    """
    opened = _open(source)
    if name is not None:
        opened.name = name
    return opened


def is_batch(source: Any) -> bool:
    """Whether a list stands for several videos instead of the frames of one."""
    if not isinstance(source, list | tuple) or not source:
        return False
    return not all(_is_frame(item) for item in source)


def _open(source: Any) -> Any:
    if isinstance(source, str | os.PathLike):
        return _open_path(str(source))
    if isinstance(source, bool):
        raise UsageError(f"{source} is no source of frames.")
    if isinstance(source, int):
        return Camera(source)
    if isinstance(source, np.ndarray):
        if source.ndim == 2 or (source.ndim == 3 and source.shape[-1] in (1, 3)):
            source = source[None]
        return ArrayFrames(source)
    if isinstance(source, list | tuple):
        if not source:
            raise DataError("an empty list has no frames.")
        if isinstance(source[0], np.ndarray):
            return ArrayFrames(source)
        return ImageFiles(source, Path(source[0]).resolve().parent.name)
    if hasattr(source, "num_frames") and hasattr(source, "repeatable"):
        return source
    if isinstance(source, Iterable):
        return LiveFrames(source)
    raise UsageError(
        f"{type(source).__name__} is no source of frames; give a video, a folder, a "
        "pattern, a list of images, an array (T, H, W, 3), an iterator or the number "
        "of a camera."
    )


def _open_path(path: str) -> Any:
    if os.path.isdir(path):
        images = _images(os.listdir(path))
        if not images:
            raise DataError(
                f"the folder {path} has no images ({', '.join(IMAGE_SUFFIXES)})."
            )
        files = [os.path.join(path, image) for image in images]
        return ImageFiles(files, Path(path).resolve().name)
    if os.path.isfile(path):
        if path.lower().endswith(IMAGE_SUFFIXES):
            return ImageFiles([path], Path(path).stem)
        return VideoFile(path)
    if glob.has_magic(path):
        files = _images(glob.glob(path))
        if not files:
            raise DataError(f"no image matches {path}; put quotes around the pattern.")
        return ImageFiles(files, Path(files[0]).resolve().parent.name)
    if "://" in path:  # a camera in the network, which FFmpeg reads
        return VideoFile(path)
    raise FileNotFoundError(f"{path} does not exist; check the path.")


def _images(names: Iterable[str]) -> list[str]:
    """Image files in order of their names, numbers in them by value."""
    return sorted(
        (n for n in names if n.lower().endswith(IMAGE_SUFFIXES)), key=_natural
    )


def _natural(name: str) -> list[tuple[int, int, str]]:
    groups = itertools.groupby(name, str.isdigit)
    texts = [(digits, "".join(part)) for digits, part in groups]
    return [(0, int(text), "") if digits else (1, 0, text) for digits, text in texts]


def _is_frame(item: Any) -> bool:
    if isinstance(item, np.ndarray):
        return item.ndim == 2 or (item.ndim == 3 and item.shape[-1] in (1, 3))
    is_path = isinstance(item, str | os.PathLike)
    return is_path and str(item).lower().endswith(IMAGE_SUFFIXES)


def _as_bgr(image: Any, index: int) -> np.ndarray:
    """Three channels of uint8, of a grey or coloured frame."""
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[-1] not in (1, 3) or image.dtype != np.uint8:
        raise DataError(
            f"frame {index} is an array of shape {image.shape} and type {image.dtype}; "
            "frames are uint8 of shape (H, W, 3) or (H, W)."
        )
    return np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image
