"""Writing of videos."""

import os
from collections.abc import Iterable
from fractions import Fraction
from itertools import chain

import av
import numpy as np

from mmtaformer.utils.files import atomic_path


def write_video(
    path: str | os.PathLike[str], frames: Iterable[np.ndarray], fps: float = 6
) -> None:
    """Write frames as a video that browsers and players show.

    H.264 if the encoder is there, MPEG-4 otherwise. The file appears when it is
    complete; frames are encoded one by one as they come.

    Args:
        path: The video file; its suffix, such as ``.mp4``, chooses the container.
        frames: RGB, uint8, (H, W, 3), all of one size. An odd side is made even by
            repeating the last row or column, because the encoders demand it.
        fps: Frames per second.

    Raises:
        ValueError: If there are no frames, or they differ in size.
    """
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ValueError(f"{path}: there are no frames to write.")
    height, width = first.shape[:2]
    with atomic_path(path) as partial, av.open(str(partial), "w") as container:
        codec, options = _encoder()
        rate = Fraction(fps).limit_denominator(1000)
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        for index, frame in enumerate(chain([first], frames)):
            if frame.shape != (height, width, 3):
                raise ValueError(
                    f"{path}: frame {index} has shape {frame.shape}, but the first "
                    f"one has {(height, width, 3)}; all frames of a video need one "
                    "size."
                )
            padding = ((0, height % 2), (0, width % 2), (0, 0))
            image = np.ascontiguousarray(np.pad(frame, padding, mode="edge"))
            picture = av.VideoFrame.from_ndarray(image, format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def _encoder() -> tuple[str, dict[str, str]]:
    """Name and options of the best encoder of this build of FFmpeg."""
    try:
        av.Codec("libx264", "w")
    except av.codec.codec.UnknownCodecError:
        return "mpeg4", {"qscale": "3"}
    return "libx264", {"crf": "18", "preset": "veryfast"}
