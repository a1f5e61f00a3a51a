"""Which instance of a clip is which track."""

from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from mmdet.registry import TASK_UTILS

from mmtaformer.utils.errors import UsageError
from mmtaformer.ytvis.tubes import tube_ious

from .clip_instances import ClipInstances

_FORBIDDEN = -1e3


@dataclass
class LinkedTrack:
    """What is kept of a track: nothing that grows with the length of the video.

    Attributes:
        track_id: Its number, from 0 in order of appearance.
        votes: Sum over clips of the score of each label.
        num_clips: How many clips it was seen in.
        clip: The last clip that it was seen in.
        index: Which instance of that clip it was.
        bank: Embeddings of the last clips it was seen in, unit length.
    """

    track_id: int
    votes: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    num_clips: int = 0
    clip: ClipInstances | None = None
    index: int = -1
    bank: deque[np.ndarray] = field(default_factory=deque)

    @property
    def label(self) -> int:
        """The label with the most votes so far."""
        return max(self.votes, key=self.votes.__getitem__)

    @property
    def score(self) -> float:
        """Mean score of the label over the clips the track was seen in."""
        return self.votes[self.label] / self.num_clips


@TASK_UTILS.register_module()
class ClipLinker:
    """Link the instances of overlapping clips to tracks, one clip after the other.

    The affinity of a track and an instance of the next clip is the IoU of their masks
    over the frames that both clips share, less a penalty if their classes differ. One
    Hungarian assignment maximizes the sum. Pairs below ``min_affinity`` are not linked;
    such an instance starts a new track.

    Embeddings are projected box queries, which the contrastive loss pulls together for
    one instance and pushes apart for two. A track that is missing from a clip pauses,
    and returns within ``max_gap`` frames with an instance that overlaps no other track
    and whose embedding is similar enough to the mean of its own.
    ``embedding_weight`` lets similarity count beside the overlap, too. That is off, as
    the measured models lose by it (docs/en/inference.md): their embeddings follow the
    query more than the object.

    A replacement needs the same three methods.

    Args:
        embedding_weight: Share w in [0, 1] of the similarity where masks overlap: the
            affinity is (1 - w) times the IoU plus w times the cosine.
        class_penalty: What a pair of two classes loses.
        min_affinity: Lowest affinity of two that are linked.
        return_similarity: Lowest cosine at which a paused track returns; None: none
            does.
        min_score: Lowest score at which an instance starts a new track.
        max_gap: Longest pause in frames.
        bank_size: How many clips the bank of a track holds.

    Raises:
        UsageError: If ``embedding_weight`` is no share.
    """

    def __init__(
        self,
        embedding_weight: float = 0.0,
        class_penalty: float = 0.1,
        min_affinity: float = 0.3,
        return_similarity: float | None = 0.95,
        min_score: float = 0.05,
        max_gap: int = 30,
        bank_size: int = 5,
    ) -> None:
        if not 0 <= embedding_weight <= 1:
            raise UsageError(
                f"embedding_weight of ClipLinker is {embedding_weight}: "
                "give a number from 0 to 1."
            )
        self.embedding_weight = embedding_weight
        self.class_penalty = class_penalty
        self.min_affinity = min_affinity
        self.return_similarity = return_similarity
        self.min_score = min_score
        self.max_gap = max_gap
        self.bank_size = bank_size
        self.tracks: dict[int, LinkedTrack] = {}
        self.active: list[LinkedTrack] = []

    def end_tracks(self) -> None:
        """Let no track go on, as at a cut."""
        for track in self.active:
            self._retire(track)
        self.active = []

    def link(self, clip: ClipInstances) -> list[int | None]:
        """Link the instances of the next clip.

        Args:
            clip: It starts where or before the last one ended, and ends after it.

        Returns:
            The track of each instance; None for those too weak to start one.
        """
        from scipy.optimize import linear_sum_assignment

        self._forget_long_pauses(clip.first)
        affinity = self.affinities(clip)
        rows, columns = linear_sum_assignment(-affinity)
        linked = {
            column: self.active[row]
            for row, column in zip(rows, columns, strict=True)
            if affinity[row, column] > _FORBIDDEN / 2
        }
        ids: list[int | None] = []
        for index in range(len(clip)):
            track = linked.get(index)
            if track is None and clip.score(index) >= self.min_score:
                track = LinkedTrack(track_id=len(self.tracks))
                self.tracks[track.track_id] = track
                self.active.append(track)
            if track is not None:
                self._extend(track, clip, index)
            ids.append(None if track is None else track.track_id)
        return ids

    def affinities(self, clip: ClipInstances) -> np.ndarray:
        """Affinity of every active track with every instance of a clip.

        Returns:
            (tracks, n); -1000 where a pair must not be linked.
        """
        shape = (len(self.active), len(clip))
        if 0 in shape:
            return np.zeros(shape)
        overlap, has_overlap = self._overlaps(clip)
        similarity = self._similarities(clip)
        labels = np.array([clip.label(i) for i in range(len(clip))])
        differs = np.array([t.label for t in self.active])[:, None] != labels
        affinity = overlap
        if similarity is not None:
            weight = self.embedding_weight
            affinity = (1 - weight) * overlap + weight * similarity
        penalty = self.class_penalty * differs
        affinity = np.where(has_overlap, affinity - penalty, _FORBIDDEN)
        linkable = affinity >= self.min_affinity
        if similarity is not None and self.return_similarity is not None:
            # Nobody returns in the place of one who is still there.
            free = ~has_overlap & ~linkable.any(axis=0)
            returns = free & (similarity >= self.return_similarity)
            affinity = np.where(returns, similarity - penalty, affinity)
            linkable |= returns & (affinity >= self.min_affinity)
        return np.where(linkable, affinity, _FORBIDDEN)

    def _overlaps(self, clip: ClipInstances) -> tuple[np.ndarray, np.ndarray]:
        """IoU over shared frames, and whether both are visible in any of them."""
        ious = np.zeros((len(self.active), len(clip)))
        known = np.zeros(ious.shape, bool)
        for row, track in enumerate(self.active):
            last = track.clip
            assert last is not None
            if last.end <= clip.first:
                continue
            span = (clip.first, last.end)
            own = last.masks_of(track.index, *span)
            others = [clip.masks_of(i, *span) for i in range(len(clip))]
            ious[row] = tube_ious([own], others)[0]
            if any(own):
                known[row] = [any(masks) for masks in others]
        return ious, known

    def _similarities(self, clip: ClipInstances) -> np.ndarray | None:
        """Cosine of the mean of each bank with each embedding of a clip."""
        if clip.embeddings is None:
            return None
        means = np.stack([np.mean(track.bank, axis=0) for track in self.active])
        means /= np.linalg.norm(means, axis=1, keepdims=True).clip(1e-6)
        return means @ clip.embeddings.T

    def _extend(self, track: LinkedTrack, clip: ClipInstances, index: int) -> None:
        for label, score in clip.votes[index].items():
            track.votes[label] += score
        track.num_clips += 1
        track.clip, track.index = clip, index
        if clip.embeddings is not None:
            track.bank.append(clip.embeddings[index])
            while len(track.bank) > self.bank_size:
                track.bank.popleft()

    def _forget_long_pauses(self, frame: int) -> None:
        going = []
        for track in self.active:
            assert track.clip is not None
            if frame - track.clip.end > self.max_gap:
                self._retire(track)
            else:
                going.append(track)
        self.active = going

    @staticmethod
    def _retire(track: LinkedTrack) -> None:
        """Keep of an ended track its class and score alone."""
        track.clip = None
        track.bank.clear()


def summarize(tracks: Mapping[int, LinkedTrack]) -> dict[int, tuple[int, float]]:
    """Label and score of every track by what was seen so far."""
    return {i: (track.label, track.score) for i, track in tracks.items()}
