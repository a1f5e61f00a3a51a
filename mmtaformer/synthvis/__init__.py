"""SynthVIS: a generated data set for video instance segmentation.

Videos of deforming, rotating, blurred objects that cross, hide each other, leave and
come back, in the official YouTube-VIS format. Everything follows from a seed.
"""

from .difficulty import DIFFICULTIES, Difficulty
from .dropout import KINDS, Dropout
from .options import SplitOptions, generate_video
from .render import Video
from .shapes import CLASSES
from .writer import is_written, write_synthvis

__all__ = [
    "CLASSES",
    "DIFFICULTIES",
    "KINDS",
    "Difficulty",
    "Dropout",
    "SplitOptions",
    "Video",
    "generate_video",
    "is_written",
    "write_synthvis",
]
