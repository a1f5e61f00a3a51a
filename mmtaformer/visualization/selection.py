"""Which of the predicted instances people are shown."""

from collections.abc import Sequence

import numpy as np

from mmtaformer.ytvis.tubes import tube_ious

from .tracks import Track


def drop_duplicates(
    tracks: Sequence[Track],
    one_class_per_query: bool = True,
    nms_thr: float | None = 0.7,
) -> list[Track]:
    """Keep one of several tracks that show the same instance.

    Official results list a query once per class, with the same masks, and AP wants
    them so. People want each instance once.

    Args:
        tracks: The predictions of one video.
        one_class_per_query: Whether of tracks with the very same masks only the best
            one stays.
        nms_thr: A track whose masks overlap those of a better one, of whatever class,
            by a higher IoU over the whole video is left out; None keeps it.

    Returns:
        The kept tracks, in the given order.
    """
    thr = np.inf if nms_thr is None else nms_thr
    tubes = [track.masks for track in tracks]
    ious = tube_ious(tubes, tubes)
    kept: list[int] = []
    for index in np.argsort([-(t.score or 0) for t in tracks], kind="stable"):
        better = ious[index, kept]
        same = better >= 1 - 1e-9
        if not np.where(same, one_class_per_query, better > thr).any():
            kept.append(int(index))
    return [tracks[index] for index in sorted(kept)]


def confident(tracks: Sequence[Track], score_thr: float) -> list[Track]:
    """The tracks that reach a score and are visible in some frame."""
    return [t for t in tracks if (t.score or 0) >= score_thr and t.frames]


def describe(shown: Sequence[Track], found: Sequence[Track]) -> str:
    """Say how many tracks are shown, such as ``0 of 10 shown, best score 0.15``.

    Args:
        shown: The tracks that passed the threshold.
        found: All tracks.
    """
    if not found:
        return "nothing found"
    best = max(track.score or 0 for track in found)
    return f"{len(shown)} of {len(found)} shown, best score {best:.2f}"
