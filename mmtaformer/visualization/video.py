"""Writing of videos."""

import os
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import chain
from pathlib import Path

import numpy as np

from mmtaformer.utils.errors import DataError
from mmtaformer.utils.files import atomic_path

_TIME_BASE = Fraction(1, 90000)


def write_video(
    path: str | os.PathLike[str],
    frames: Iterable[np.ndarray],
    fps: float = 6,
    times: Sequence[float] | None = None,
) -> None:
    """Write frames as a video that browsers and players show.

    H.264 if the encoder is there, MPEG-4 otherwise; an animation if the name ends in
    ``.gif``. The file appears when it is complete; frames are encoded one by one as
    they come.

    Args:
        path: The video file; its suffix, such as ``.mp4``, chooses the container.
        frames: RGB, uint8, (H, W, 3), all of one size. An odd side is made even by
            repeating the last row or column, because the encoders demand it.
        fps: Frames per second.
        times: When each frame is shown, in seconds, for a video of variable rate.

    Raises:
        DataError: If there are no frames, or they differ in size.
    """
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise DataError(f"{path}: there are no frames to write.")
    checked = _check_sizes(path, chain([first], frames), first.shape)
    with atomic_path(path) as partial:
        if Path(path).suffix.lower() == ".gif":
            _write_gif(partial, checked, fps)
        else:
            _write_container(partial, checked, first.shape[:2], fps, times)


def _check_sizes(
    path: str | os.PathLike[str],
    frames: Iterable[np.ndarray],
    shape: tuple[int, ...],
) -> Iterator[np.ndarray]:
    for index, frame in enumerate(frames):
        if frame.shape != shape:
            raise DataError(
                f"{path}: frame {index} has shape {frame.shape}, but the first one has "
                f"{shape}; all frames of a video need one size."
            )
        yield frame


def _write_container(
    path: Path,
    frames: Iterable[np.ndarray],
    size: tuple[int, int],
    fps: float,
    times: Sequence[float] | None,
) -> None:
    import av

    height, width = size
    # The index of an mp4 comes first, so that a browser plays while it loads.
    options = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=options) as container:
        codec, codec_options = _encoder()
        rate = Fraction(fps).limit_denominator(1000)
        stream = container.add_stream(codec, rate=rate, options=codec_options)
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        if times is not None:
            stream.codec_context.time_base = _TIME_BASE
        padding = ((0, height % 2), (0, width % 2), (0, 0))
        for index, frame in enumerate(frames):
            image = np.ascontiguousarray(np.pad(frame, padding, mode="edge"))
            picture = av.VideoFrame.from_ndarray(image, format="rgb24")
            if times is not None:
                picture.time_base = _TIME_BASE
                picture.pts = round((times[index] - times[0]) / _TIME_BASE)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def _write_gif(path: Path, frames: Iterable[np.ndarray], fps: float) -> None:
    from PIL import Image

    pictures = (
        Image.fromarray(f).quantize(128, dither=Image.Dither.NONE) for f in frames
    )
    first = next(pictures)
    first.save(
        path, save_all=True, append_images=pictures, duration=round(1000 / fps), loop=0
    )


def _encoder() -> tuple[str, dict[str, str]]:
    """Name and options of the best encoder of this build of FFmpeg."""
    import av

    try:
        av.Codec("libx264", "w")
    except av.codec.codec.UnknownCodecError:
        return "mpeg4", {"qscale": "3"}
    return "libx264", {"crf": "18", "preset": "veryfast"}
