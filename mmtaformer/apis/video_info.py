"""What is known about a video."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class VideoInfo:
    """What is known about a video.

    Attributes:
        name: What its files are called after.
        height: Height of the frames in pixels.
        width: Width of the frames in pixels.
        times: Seconds of each frame since the start of the source.
        file_names: Name of each frame's image; empty for a video file.
    """

    name: str
    height: int
    width: int
    times: Sequence[float]
    file_names: Sequence[str] = ()

    @property
    def num_frames(self) -> int:
        return len(self.times)

    @property
    def fps(self) -> float:
        """Mean number of frames per second; 6 for a single frame."""
        duration = self.times[-1] - self.times[0] if self.times else 0.0
        return (len(self.times) - 1) / duration if duration > 0 else 6.0
