"""Online mode: clips that overlap, linked to tracks, frame by frame."""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .clip_instances import ClipInstances, Rle
from .linking import LinkedTrack

# From the frames of a clip and the index of the first one to its instances.
PredictClip = Callable[[Sequence[Any], int], ClipInstances]


class Linker(Protocol):
    """What links the clips; :class:`ClipLinker` says more."""

    tracks: dict[int, LinkedTrack]

    def link(self, clip: ClipInstances) -> list[int | None]: ...

    def end_tracks(self) -> None: ...


@dataclass(frozen=True)
class FrameTrack:
    """A track in one frame, by what was seen of it so far.

    Attributes:
        track_id: Its number, the same in every frame.
        label: Index of its class.
        score: Confidence.
        box: (x1, y1, x2, y2) in pixels.
        mask: Run-length encoding.
    """

    track_id: int
    label: int
    score: float
    box: tuple[float, float, float, float]
    mask: Rle


@dataclass(frozen=True)
class _LinkedClip:
    """A clip, and which of its instances each track is."""

    clip: ClipInstances
    members: dict[int, int]


class OnlineTracker:
    """Turns frames into tracks, and hands a frame's out as soon as they are final.

    A shot is cut into clips of ``clip_length`` frames, of which two neighbours share
    ``overlap``; the last clip reaches back as far as it needs to be as long. Of a frame
    that two clips share, the masks come from the one in which it lies further from the
    border. A frame is final once no later clip can hold it, so at most one clip later.
    What is kept does not grow with the length of the video, and results do not depend
    on the pieces in which frames arrive.

    Args:
        predict: Finds the instances of a clip.
        linker: Links them to tracks.
        clip_length: Frames of a clip; None makes each shot one clip.
        overlap: Frames that two neighbouring clips share.
    """

    def __init__(
        self,
        predict: PredictClip,
        linker: Linker,
        clip_length: int | None = 10,
        overlap: int = 3,
    ) -> None:
        assert clip_length is None or 0 <= overlap < clip_length
        self.predict = predict
        self.linker = linker
        self.clip_length = clip_length
        self.overlap = overlap
        self.num_frames = 0  # that came in
        self.num_final = 0  # that went out
        self._window: deque[Any] = deque(maxlen=clip_length)
        self._shot_start = 0
        self._last: _LinkedClip | None = None

    def push(self, frame: Any, is_cut: bool = False) -> list[list[FrameTrack]]:
        """Take the next frame.

        Args:
            frame: What ``predict`` takes.
            is_cut: Whether a shot starts with it: no track goes on.

        Returns:
            The tracks of each frame that is final now, in order.
        """
        final = self._end_shot() if is_cut else []
        self._window.append(frame)
        self.num_frames += 1
        if self._is_clip_due():
            stay = self.overlap
            final += self._run_clip(self.num_frames - stay)
        return final

    def finish(self) -> list[list[FrameTrack]]:
        """End the video; returns the tracks of the frames that are left."""
        return self._end_shot()

    def _is_clip_due(self) -> bool:
        if self.clip_length is None:
            return False
        beyond_first = self.num_frames - self._shot_start - self.clip_length
        return (
            beyond_first >= 0 and beyond_first % (self.clip_length - self.overlap) == 0
        )

    def _end_shot(self) -> list[list[FrameTrack]]:
        covered = self._shot_start if self._last is None else self._last.clip.end
        if covered < self.num_frames:
            final = self._run_clip(self.num_frames)
        elif self._last is not None:
            final = self._emit(self._last, None, self.num_frames)
        else:
            final = []
        self.linker.end_tracks()
        self._window.clear()
        self._shot_start, self._last = self.num_frames, None
        return final

    def _run_clip(self, final_end: int) -> list[list[FrameTrack]]:
        """Predict and link the window; return the frames before ``final_end``."""
        clip = self.predict(list(self._window), self.num_frames - len(self._window))
        ids = self.linker.link(clip)
        members = {track: i for i, track in enumerate(ids) if track is not None}
        linked = _LinkedClip(clip, members)
        final = self._emit(linked, self._last, final_end)
        self._last = linked
        return final

    def _emit(
        self, new: _LinkedClip, old: _LinkedClip | None, end: int
    ) -> list[list[FrameTrack]]:
        """The tracks of the frames up to ``end`` that are not out yet."""
        switch = new.clip.first
        if old is not None:
            switch += math.ceil((old.clip.end - new.clip.first) / 2)
        frames = []
        for t in range(self.num_final, end):
            order = [new] if t >= switch or old is None else [old]
            other = old if order[0] is new else new
            if other is not None and other.clip.first <= t < other.clip.end:
                order.append(other)
            frames.append(self._frame_tracks(t, order))
        self.num_final = max(end, self.num_final)
        return frames

    def _frame_tracks(self, t: int, clips: Sequence[_LinkedClip]) -> list[FrameTrack]:
        """Tracks that are visible in a frame, by the first clip that knows them."""
        found: dict[int, FrameTrack | None] = {}
        for linked in clips:
            for track_id, index in linked.members.items():
                if track_id not in found:
                    found[track_id] = self._frame_track(linked.clip, track_id, index, t)
        return [track for _, track in sorted(found.items()) if track is not None]

    def _frame_track(
        self, clip: ClipInstances, track_id: int, index: int, t: int
    ) -> FrameTrack | None:
        mask = clip.masks[index][t - clip.first]
        if mask is None:
            return None
        track = self.linker.tracks[track_id]
        box = np.asarray(clip.boxes[index, t - clip.first], float)
        x1, y1, x2, y2 = box.tolist()
        return FrameTrack(track_id, track.label, track.score, (x1, y1, x2, y2), mask)
