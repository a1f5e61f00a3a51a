"""What perfect models could reach that know no more than they are allowed to.

Results are made from the ground truth itself. The levels ``deform`` and ``identity``
ask different questions, so they have ceilings of their own. A frame counts as blank
where an object's visibility is 0.
"""

import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from mmtaformer.utils.errors import DataError
from mmtaformer.ytvis.rle import decode, encode_masks

Oracle = Callable[[np.ndarray, np.ndarray], np.ndarray]


def ceiling_results(
    ground_truth: Mapping[str, Any],
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Make the results of each oracle that fits the data.

    Args:
        ground_truth: Content of a generated annotation file, checked.

    Yields:
        Name of the oracle, and its results in the submission format.

    Raises:
        DataError: If the annotations have no visibilities.
    """
    objects = [_read_video(video, ground_truth) for video in ground_truth["videos"]]
    colours = ground_truth["info"]["options"]["knobs"].get("class_is_colour")
    for name, oracle in (IDENTITY_ORACLES if colours else DEFORM_ORACLES).items():
        entries: list[dict[str, Any]] = []
        for annotations, masks, shown in objects:
            predicted = oracle(masks, shown) if annotations else masks
            entries += [
                _entry(annotation, own)
                for annotation, own in zip(annotations, predicted)
            ]
        yield name, entries


def read_ceilings(annotation_file: str | Path) -> dict[str, dict[str, float]]:
    """Read what synthvis_ceilings.py wrote beside an annotation file.

    Args:
        annotation_file: The file.

    Returns:
        Figures in [0, 1] by name of the oracle; nothing if there are none for this
        file.
    """
    path = Path(annotation_file).with_name("ceilings.json")
    if not path.is_file():
        return {}
    content = json.loads(path.read_text())
    matches = content["annotation_file"] == Path(annotation_file).name
    return content["ceilings"] if matches else {}


def blank_share(ground_truth: Mapping[str, Any]) -> float:
    """Share of the annotated frames of objects whose visibility is 0."""
    blank = [
        visibility == 0
        for annotation in ground_truth["annotations"]
        for visibility, rle in zip(
            _visibilities(annotation), annotation["segmentations"]
        )
        if rle is not None
    ]
    return float(np.mean(blank))


def _visibilities(annotation: Mapping[str, Any]) -> Sequence[float]:
    found = annotation.get("visibilities")
    if not isinstance(found, list) or len(found) != len(annotation["segmentations"]):
        raise DataError(
            f"Annotation {annotation['id']} has no 'visibilities', one per frame: give "
            "a file that generate_synthvis.py wrote for the level deform or identity."
        )
    return found


def _read_video(
    video: Mapping[str, Any], ground_truth: Mapping[str, Any]
) -> tuple[list[Mapping[str, Any]], np.ndarray, np.ndarray]:
    """Annotations, (n, T, H, W) bool masks, and (n, T) bool, where they are shown."""
    annotations = [
        annotation
        for annotation in ground_truth["annotations"]
        if annotation["video_id"] == video["id"]
    ]
    size = (len(video["file_names"]), video["height"], video["width"])
    masks = np.zeros((len(annotations), *size), bool)
    for own, annotation in zip(masks, annotations):
        for time, rle in enumerate(annotation["segmentations"]):
            if rle is not None:
                own[time] = decode(rle)
    shown = np.array([_visibilities(annotation) for annotation in annotations]) > 0
    return annotations, masks, shown


def _entry(annotation: Mapping[str, Any], masks: np.ndarray) -> dict[str, Any]:
    rles = encode_masks(masks)
    return {
        "video_id": annotation["video_id"],
        "category_id": annotation["category_id"],
        "score": 1.0,
        "segmentations": [rle if m.any() else None for rle, m in zip(rles, masks)],
    }


def _shown_only(masks: np.ndarray, shown: np.ndarray) -> np.ndarray:
    return masks & shown[..., None, None]


def _fill_blank(fill: Callable[[np.ndarray, np.ndarray, int], np.ndarray]) -> Oracle:
    """An oracle that fills blank frames from the frames that show the object."""

    def oracle(masks: np.ndarray, shown: np.ndarray) -> np.ndarray:
        filled = masks.copy()
        for own, mask, seen in zip(filled, masks, shown):
            frames = np.flatnonzero(seen & mask.any(axis=(1, 2)))
            for time in np.flatnonzero(~seen):
                own[time] = fill(mask, frames, time) if frames.size else False
        return filled

    return oracle


def _nearest(masks: np.ndarray, frames: np.ndarray, time: int) -> np.ndarray:
    """The mask of the nearest frame that shows the object."""
    return masks[frames[np.abs(frames - time).argmin()]]


def _mean_place(masks: np.ndarray, frames: np.ndarray, time: int) -> np.ndarray:
    """The nearest mask, moved to the mean place of the object."""
    place = np.mean([_centre(mask) for mask in masks[frames]], axis=0)
    return _move(_nearest(masks, frames, time), place)


def _interpolated(masks: np.ndarray, frames: np.ndarray, time: int) -> np.ndarray:
    """Between the frames before and after: place and signed distances are mixed."""
    before, after = frames[frames < time], frames[frames > time]
    if not before.size or not after.size:
        return _nearest(masks, frames, time)
    first, last = before[-1], after[0]
    weight = (time - first) / (last - first)
    ends = masks[first], masks[last]
    place = (1 - weight) * _centre(ends[0]) + weight * _centre(ends[1])
    near, far = (_signed_distance(_move(mask, place)) for mask in ends)
    return (1 - weight) * near + weight * far > 0


def _guess(masks: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Who is who is drawn by lot in each blank frame, in each video anew."""
    rng = np.random.default_rng(zlib.crc32(masks.tobytes()))
    return _assign(masks, shown, lambda time: rng.permutation(len(masks)))


def _everybody(masks: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """All objects at once in blank frames."""
    return np.where(shown[..., None, None], masks, masks.any(axis=0, keepdims=True))


def _by_mean_place(masks: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """An object is where it is on average."""
    places = _places(masks)
    means = np.stack([p[s].mean(axis=0) for p, s in zip(places, shown)])
    return _assign(masks, shown, lambda time: _match(means, places[:, time]))


def _by_nearest_place(masks: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """An object is where it was in the nearest frame that shows it."""
    places, frames = _places(masks), np.flatnonzero(shown.all(axis=0))

    def match(time: int) -> np.ndarray:
        nearest = frames[np.abs(frames - time).argmin()]
        return _match(places[:, nearest], places[:, time])

    return _assign(masks, shown, match)


def _tracked(masks: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Objects are followed from frame to frame by their place."""
    places, frames = _places(masks), np.flatnonzero(shown.all(axis=0))

    def match(time: int) -> np.ndarray:
        start = frames[np.abs(frames - time).argmin()]
        order = np.arange(len(masks))
        step = 1 if time > start else -1
        for now in range(start, time, step):
            order = _match(places[order, now], places[:, now + step])
        return order

    return _assign(masks, shown, match)


def _assign(
    masks: np.ndarray, shown: np.ndarray, match: Callable[[int], np.ndarray]
) -> np.ndarray:
    """Give objects the masks of others in blank frames, by (n,) indices of masks."""
    assigned = masks.copy()
    for time in np.flatnonzero(~shown.all(axis=0)):
        assigned[:, time] = masks[match(time), time]
    return assigned


def _match(known: np.ndarray, found: np.ndarray) -> np.ndarray:
    """(n,) index into (n, 2) found places of each of (n, 2) known ones."""
    distances = np.linalg.norm(known[:, None] - found[None], axis=2)
    return linear_sum_assignment(distances)[1]


def _places(masks: np.ndarray) -> np.ndarray:
    """(n, T, 2) centres; that of the nearest frame where an object is hidden."""
    places = np.zeros((*masks.shape[:2], 2))
    for own, mask in zip(places, masks):
        frames = np.flatnonzero(mask.any(axis=(1, 2)))
        for time in range(len(mask)):
            own[time] = _centre(_nearest(mask, frames, time))
    return places


def _centre(mask: np.ndarray) -> np.ndarray:
    """(2,) mean x, y of the pixels of a non-empty mask."""
    rows, columns = np.nonzero(mask)
    return np.array([columns.mean(), rows.mean()])


def _move(mask: np.ndarray, place: np.ndarray) -> np.ndarray:
    """The mask with its centre at a place, to a pixel."""
    shift = np.rint(place - _centre(mask))
    matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
    size = mask.shape[::-1]
    return cv2.warpAffine(mask.astype(np.uint8), matrix, size, flags=0) > 0


def _signed_distance(mask: np.ndarray) -> np.ndarray:
    """(H, W) distance to the outline in pixels, positive inside."""
    inside, outside = (
        cv2.distanceTransform(side.astype(np.uint8), cv2.DIST_L2, 5)
        for side in (mask, ~mask)
    )
    return inside - outside


DEFORM_ORACLES: dict[str, Oracle] = {
    "its frame alone, nothing where it is blank": _shown_only,
    "mean place": _fill_blank(_mean_place),
    "nearest frame, copied": _fill_blank(_nearest),
    "both neighbours, interpolated": _fill_blank(_interpolated),
}
IDENTITY_ORACLES: dict[str, Oracle] = {
    "its frame alone, nothing where it is grey": _shown_only,
    "its frame alone, everybody where it is grey": _everybody,
    "its frame alone, a guess where it is grey": _guess,
    "mean place": _by_mean_place,
    "nearest coloured frame": _by_nearest_place,
    "followed from frame to frame": _tracked,
}
