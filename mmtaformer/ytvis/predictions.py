"""From predictions of whole videos to entries of the official submission format."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmtaformer.utils.errors import DataError

from . import rle as codec


def encode_masks(masks: Any) -> list[dict[str, Any] | None]:
    """Encode the masks of one frame as RLE that JSON can store.

    Args:
        masks: Bool tensor or array (n, H, W), or n RLE dicts whose ``counts`` are
            bytes or str; None stands for an absent mask.

    Returns:
        One RLE per mask with ``counts`` as str; None for an empty mask, which the
        official evaluation treats alike.
    """
    if hasattr(masks, "detach"):  # a tensor
        masks = masks.detach().cpu().numpy()
    if isinstance(masks, np.ndarray):
        masks = codec.encode_masks(masks)
    return [codec.as_json(rle) if codec.area(rle) else None for rle in masks]


def frames_to_results(
    frames: Sequence[Any], video_id: int, category_ids: Sequence[int]
) -> list[dict[str, Any]]:
    """Turn the predictions of a whole video into submission entries.

    Instances are matched between frames by ``instances_id``; where one is missing
    from a frame its mask there is None. Its score is the mean over the frames that
    have it, its category the most frequent one.

    Args:
        frames: One data sample (or dict) per frame, in order, with
            ``pred_track_instances``: labels (n,), scores (n,), instances_id (n,)
            and masks, a bool tensor (n, H, W) or n RLE dicts.
        video_id: Id of the video in the ground-truth file.
        category_ids: Category id of each label.

    Returns:
        One JSON-serializable dict per instance.

    Raises:
        DataError: If a frame has no predictions, or an instance twice.
    """
    scores: dict[int, list[float]] = defaultdict(list)
    labels: dict[int, list[int]] = defaultdict(list)
    tracks: dict[int, list[dict[str, Any] | None]] = {}
    for t, frame in enumerate(frames):
        predictions = frame.get("pred_track_instances")
        if predictions is None or predictions.get("masks") is None:
            raise DataError(
                f"frame {t} of video {video_id} has no masks in "
                "'pred_track_instances'; the model must be one for video instance "
                "segmentation."
            )
        ids = _to_list(predictions["instances_id"])
        if len(set(ids)) != len(ids):
            raise DataError(
                f"frame {t} of video {video_id} has an instances_id twice ({ids}); "
                "each instance of a video needs its own."
            )
        fields = (predictions["labels"], predictions["scores"])
        masks = encode_masks(predictions["masks"])
        for instance, label, score, rle in zip(
            ids, *map(_to_list, fields), masks, strict=True
        ):
            labels[instance].append(label)
            scores[instance].append(score)
            tracks.setdefault(instance, [None] * len(frames))[t] = rle
    return [
        {
            "video_id": int(video_id),
            "category_id": int(category_ids[_most_frequent(labels[instance])]),
            "score": float(np.mean(scores[instance])),
            "segmentations": masks,
        }
        for instance, masks in tracks.items()
    ]


def _to_list(values: Any) -> list[Any]:
    return values.tolist() if hasattr(values, "tolist") else list(values)


def _most_frequent(values: Sequence[int]) -> int:
    return Counter(values).most_common(1)[0][0]
