"""What a model finds in one clip, apart from the model."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmtaformer.ytvis.predictions import encode_masks
from mmtaformer.ytvis.tubes import tube_ious

Rle = dict[str, Any]


@dataclass(frozen=True)
class ClipInstances:
    """The n instances of a clip of T frames, each once, best score first.

    Attributes:
        first: Index of the clip's first frame in the video.
        votes: Score of each label that the model gave an instance.
        boxes: (n, T, 4) float32, xyxy in pixels.
        masks: For each instance T run-length encodings, None where it is absent.
        embeddings: (n, C) of unit length, or None if the model has none.
    """

    first: int
    votes: Sequence[Mapping[int, float]]
    boxes: np.ndarray
    masks: Sequence[Sequence[Rle | None]]
    embeddings: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.votes)

    @property
    def num_frames(self) -> int:
        return self.boxes.shape[1]

    @property
    def end(self) -> int:
        """Index after the clip's last frame."""
        return self.first + self.num_frames

    def label(self, index: int) -> int:
        """The best label of an instance."""
        return max(self.votes[index], key=self.votes[index].__getitem__)

    def score(self, index: int) -> float:
        """The score of an instance's best label."""
        return max(self.votes[index].values())

    def masks_of(self, index: int, first: int, end: int) -> Sequence[Rle | None]:
        """Masks of an instance in some frames of the video, all inside the clip."""
        return self.masks[index][first - self.first : end - self.first]


def clip_instances(
    frames: Sequence[Any],
    first: int = 0,
    one_class_per_query: bool = True,
    nms_thr: float | None = 0.7,
) -> ClipInstances:
    """Gather the predictions of a clip; what has no mask in it is left out.

    Args:
        frames: One data sample per frame with ``pred_track_instances``, as
            :meth:`TAFormer.predict` fills them in: the same n instances in every frame.
        first: Index of the first frame in the video.
        one_class_per_query: Whether the classes of one query become votes of one
            instance; else each is an instance of its own.
        nms_thr: An instance that overlaps a better one by a higher IoU over the clip
            is left out; None keeps all.
    """
    predictions = [frame.pred_track_instances for frame in frames]
    labels, scores = predictions[0].labels.tolist(), predictions[0].scores.tolist()
    boxes = np.stack([p.bboxes.float().cpu().numpy() for p in predictions], axis=1)
    rles = list(zip(*(encode_masks(p.masks) for p in predictions), strict=True))
    embeddings = predictions[0].get("embeddings")
    votes: dict[Any, dict[int, float]] = defaultdict(dict)
    leaders: dict[Any, int] = {}
    for index in np.argsort([-score for score in scores], kind="stable").tolist():
        # The classes of a query share its boxes, to the last digit.
        query = boxes[index].tobytes() if one_class_per_query else index
        leaders.setdefault(query, index)
        votes[query].setdefault(labels[index], scores[index])
    kept = [index for index in leaders.values() if any(rles[index])]
    if nms_thr is not None:
        kept = _suppress([rles[i] for i in kept], kept, nms_thr)
    chosen = {index: query for query, index in leaders.items() if index in set(kept)}
    return ClipInstances(
        first=first,
        votes=[votes[query] for query in chosen.values()],
        boxes=boxes[list(chosen)],
        masks=[rles[index] for index in chosen],
        embeddings=None
        if embeddings is None
        else embeddings.float().cpu().numpy()[list(chosen)],
    )


def _suppress(
    tubes: Sequence[Sequence[Rle | None]], indices: Sequence[int], thr: float
) -> list[int]:
    """Keep, of sorted tubes, those that overlap no better one by more than ``thr``."""
    ious = tube_ious(tubes, tubes)
    kept: list[int] = []
    for row in range(len(tubes)):
        if not (ious[row, kept] > thr).any():
            kept.append(row)
    return [indices[row] for row in kept]
