"""Which frames of a clip are nearest to each of them."""

from itertools import groupby


def nearest_frames(
    frame: int, num_frames: int, temporal_window: int
) -> tuple[int, ...]:
    """The 2d frames of a clip that are nearest to one of them, relative to it.

    Args:
        frame: The frame, from 0 to T - 1.
        num_frames: T.
        temporal_window: d.

    Returns:
        tuple[int, ...]: 2d numbers, ascending. In a clip of at most 2d frames the last
        ones lie beyond its end.
    """
    length = 2 * temporal_window + 1
    first = max(min(frame - temporal_window, num_frames - length), 0)
    last = min(first + length, num_frames)
    inside = [other - frame for other in range(first, last) if other != frame]
    beyond = range(num_frames, num_frames + length - 1 - len(inside))
    return (*inside, *beyond)


def frame_runs(
    frames: range, num_frames: int, temporal_window: int
) -> list[tuple[slice, tuple[int, ...]]]:
    """Cut frames into runs whose nearest frames lie alike.

    Args:
        frames: Some frames of a clip.
        num_frames: T of the clip.
        temporal_window: d.

    Returns:
        list: Each run as a slice of ``frames``, and its :func:`nearest_frames`.
    """
    runs, start = [], 0
    nearest = [nearest_frames(t, num_frames, temporal_window) for t in frames]
    for relative_frames, run in groupby(nearest):
        stop = start + len(list(run))
        runs.append((slice(start, stop), relative_frames))
        start = stop
    return runs
