"""Whether a whole video fits into memory, computed before it starts."""

from pathlib import Path
from typing import Any

import psutil
import torch

_FLOAT = 4  # bytes
# Beside tokens and frames: queries of all layers, boxes, run-length masks.
_OTHER = 1.15
# Allocators keep holes between tensors: processes held 1.26 to 1.37 times as much.
_HOLES = 1.4
# Part of the free memory that is used at most.
_SHARE = 0.8


def whole_video_bytes(
    model: Any,
    num_frames: int,
    image_size: tuple[int, int],
    output_size: tuple[int, int],
) -> int:
    """Memory that whole-video mode needs beside the model.

    Whatever grows with the number of frames counts: the frames, as bytes and as
    floats, and the tokens that go into and come out of an encoder layer. To it comes
    what one chunk of frames needs while it passes through backbone, encoder or mask
    head.

    Args:
        model: A :class:`TAFormer`.
        num_frames: T.
        image_size: (height, width) of the frames the network sees.
        output_size: (height, width) of the original frames.

    Returns:
        Bytes.
    """
    height, width = image_size
    pixels = height * width
    channels = model.encoder.embed_dims
    levels = model.level_embed.size(0)
    tokens = sum(pixels / (8 * 2**level) ** 2 for level in range(levels))
    per_frame = pixels * 3 * (1 + 2 * _FLOAT) + 2 * tokens * channels * _FLOAT
    chunk = min(model.test_cfg.get("frames_per_chunk") or num_frames, num_frames)
    # Stem and first stage of a residual network, sampled values, masks of the output.
    working = (
        pixels * 24 * _FLOAT
        + 8 * tokens * channels * _FLOAT
        + output_size[0] * output_size[1] * model.test_cfg.get("max_per_video", 10) * 5
    )
    return int(_HOLES * (_OTHER * num_frames * per_frame + chunk * working))


def free_bytes(device: torch.device | str) -> int:
    """Memory that is free on a device, within the limits of a container."""
    if torch.device(device).type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = psutil.virtual_memory().available
    return min(free, _free_in_container(free))


def fits(needed: int, free: int) -> bool:
    """Whether this much can be used without crowding out the rest."""
    return needed <= _SHARE * free


def _free_in_container(default: int) -> int:
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text().strip()
        used = int((group / "memory.current").read_text())
        cached = _inactive(group / "memory.stat")
    except (OSError, ValueError):
        return default
    return default if limit == "max" else int(limit) - used + cached


def _inactive(stat: Path) -> int:
    """Bytes of files that the kernel gives back when they are needed."""
    values: dict[str, Any] = dict(
        line.split() for line in stat.read_text().splitlines()
    )
    return int(values.get("inactive_file", 0))
