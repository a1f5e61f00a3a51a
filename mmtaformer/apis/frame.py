"""One frame of a video."""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Frame:
    """One frame of a source.

    Attributes:
        image: BGR, uint8, (H, W, 3).
        time: Seconds since the start of the source.
        name: File name of an image; None for frames that have none.
    """

    image: np.ndarray
    time: float
    name: str | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.image.shape[0], self.image.shape[1]

    def without_image(self) -> "Frame":
        """The same frame, of the same size, that takes no memory."""
        nothing = np.broadcast_to(np.zeros(1, np.uint8), self.image.shape)
        return replace(self, image=nothing)
