"""Finding cuts in a video."""

import cv2
import numpy as np

_THUMBNAIL = (64, 48)  # width, height
_BINS = (16, 8)  # hue, saturation


class ShotDetector:
    """Finds the first frame of each shot by how much the picture changes.

    A frame starts a shot if its colours and its thumbnail differ from the frame before,
    by far more than the frames before it did, and the thumbnails do not resemble each
    other but for their brightness: fast motion changes the thumbnail, a flash the
    brightness, a cut all of it.

    Args:
        color_thr: Least distance of the colour histograms, from 0 to 1.
        picture_thr: Least mean difference of the thumbnails, from 0 to 1.
        ratio: Least ratio of this difference to its running mean.
        resemblance: Correlation of the thumbnails from which on it is no cut.
    """

    def __init__(
        self,
        color_thr: float = 0.3,
        picture_thr: float = 0.08,
        ratio: float = 3.0,
        resemblance: float = 0.7,
    ) -> None:
        self.color_thr = color_thr
        self.picture_thr = picture_thr
        self.ratio = ratio
        self.resemblance = resemblance
        self._last: tuple[np.ndarray, np.ndarray] | None = None
        self._usual = 0.0

    def is_cut(self, image: np.ndarray) -> bool:
        """Whether a shot starts with this frame.

        Args:
            image: The next frame, BGR, uint8, (H, W, 3).
        """
        small = cv2.resize(image, _THUMBNAIL, interpolation=cv2.INTER_AREA)
        histogram = _histogram(small)
        last, self._last = self._last, (small.astype(np.int16), histogram)
        if last is None:
            return False
        change = float(np.abs(self._last[0] - last[0]).mean()) / 255
        colors = 0.5 * float(np.abs(histogram - last[1]).sum())
        cut = (
            colors >= self.color_thr
            and change >= self.picture_thr
            and change >= self.ratio * self._usual
            and _correlation(self._last[0], last[0]) < self.resemblance
        )
        if not cut:  # the change at a cut says nothing about motion
            self._usual += 0.2 * (change - self._usual)
        return cut


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Correlation of the pixels of two pictures; 0 if one is of one colour."""
    a, b = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((a * a).mean() * (b * b).mean()))
    return float((a * b).mean()) / scale if scale else 0.0


def _histogram(image: np.ndarray) -> np.ndarray:
    """Share of the pixels in each bin of hue and saturation, and of brightness."""
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    color = cv2.calcHist([hsv], [0, 1], None, _BINS, [0, 180, 0, 256]).ravel()
    bright = cv2.calcHist([hsv], [2], None, [32], [0, 256]).ravel()
    return np.concatenate([color, bright]) / (2 * color.sum())
