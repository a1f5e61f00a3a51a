"""Reading, checking and writing YouTube-VIS ground truth and results files."""

import json
import math
import os
import zipfile
from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

from pycocotools import mask as mask_utils

from mmtaformer.utils.files import atomic_path
from mmtaformer.ytvis.annotations import read_ytvis_json

PathType = str | os.PathLike[str]

_RESULT_KEYS = ("video_id", "category_id", "score", "segmentations")


def load_ground_truth(
    source: Mapping[str, Any] | PathType, need_annotations: bool = True
) -> dict[str, Any]:
    """Read a ground-truth file in the official YouTube-VIS format and check it.

    Args:
        source: Path of the JSON file, or the content of one.
        need_annotations: Whether a file without annotations, such as the published
            validation and test files of YouTube-VIS, is an error.

    Returns:
        The content of the file.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file breaks the format, or has no annotations.
    """
    if isinstance(source, Mapping):
        name, content = "the ground truth", dict(source)
    else:
        name, content = str(source), read_ytvis_json(str(source))
    if need_annotations and not content.get("annotations"):
        raise ValueError(
            f"{name} has no annotations, so nothing can be evaluated against it; give "
            "an annotated file, or only write the results (format_only=True)."
        )
    return content


def load_results(
    source: Sequence[Mapping[str, Any]] | PathType, ground_truth: Mapping[str, Any]
) -> list[Mapping[str, Any]]:
    """Read results in the official submission format and check them.

    Args:
        source: Path of the JSON file or of a submission zip, or the list of
            entries.
        ground_truth: The content of the ground-truth file the results belong to.

    Returns:
        One dict per predicted instance of a video with ``video_id``,
        ``category_id``, ``score`` and ``segmentations``.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not a results file, or does not fit the ground truth.
    """
    name, content = "the results", source
    if isinstance(source, str | os.PathLike):
        name, content = str(source), _read_json(source)
    if not isinstance(content, Sequence) or isinstance(content, str):
        raise ValueError(
            f"{name} holds a JSON {type(content).__name__}, but a results file is a "
            "list with one entry per predicted instance; ground truth comes before "
            "results on the command line."
        )
    ResultsChecker(ground_truth).check(content, name)
    return list(content)


def save_results(
    results: Sequence[Mapping[str, Any]], prefix: str
) -> tuple[Path, Path]:
    """Write ``{prefix}.json`` and ``{prefix}.submission_file.zip``.

    The zip holds the same content as ``results.json``, which is what the
    YouTube-VIS servers accept.

    Args:
        results: Entries in the submission format.
        prefix: Folder and start of the name, such as ``work_dirs/run/results``.

    Returns:
        The paths of the JSON file and of the zip.
    """
    text = json.dumps(list(results))
    json_path, zip_path = Path(f"{prefix}.json"), Path(f"{prefix}.submission_file.zip")
    with atomic_path(json_path) as partial:
        partial.write_text(text)
    with (
        atomic_path(zip_path) as partial,
        zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        archive.writestr("results.json", text)
    return json_path, zip_path


class ResultsChecker:
    """Checks entries in the submission format against a ground-truth file.

    Args:
        ground_truth: The content of the file; see :func:`load_ground_truth`.
    """

    def __init__(self, ground_truth: Mapping[str, Any]) -> None:
        self.videos = {video["id"]: video for video in ground_truth["videos"]}
        self.categories = {category["id"] for category in ground_truth["categories"]}
        self.sizes = _mask_sizes(ground_truth)

    def check(self, results: Sequence[Any], name: str = "the results") -> None:
        """Check every entry.

        Args:
            results: The entries.
            name: How to call the results in a message.

        Raises:
            ValueError: If an entry is malformed, names a video or a category that
                the file does not have, or has masks of another number or size.
        """
        for index, entry in enumerate(results):
            where = f"{name}, entry {index}"
            has = entry if isinstance(entry, Mapping) else {}
            missing = [key for key in _RESULT_KEYS if key not in has]
            if missing:
                raise ValueError(
                    f"{where} lacks {', '.join(missing)}; each entry of a results "
                    f"file has {', '.join(_RESULT_KEYS)}."
                )
            _check_ids(entry, self.videos, self.categories, where)
            score = entry["score"]
            if not isinstance(score, Real) or math.isnan(score):
                raise ValueError(f"{where}: the score {score} is not a number.")
            video = self.videos[entry["video_id"]]
            _check_segmentations(entry, video, self.sizes[video["id"]], where)


def to_rle(segmentation: Any, height: int, width: int) -> dict[str, Any] | None:
    """Turn any mask of the YouTube-VIS format into a compressed RLE.

    Args:
        segmentation: Polygons, a compressed or uncompressed RLE, or None.
        height: Height of the video in pixels; polygons need it.
        width: Width of the video in pixels.

    Returns:
        The RLE as pycocotools takes it, or None where the instance is absent.
    """
    if not segmentation:
        return None
    if isinstance(segmentation, list):
        return mask_utils.merge(mask_utils.frPyObjects(segmentation, height, width))
    if isinstance(segmentation["counts"], list):
        return mask_utils.frPyObjects(segmentation, *segmentation["size"])
    return segmentation


def _read_json(path: PathType) -> Any:
    """Read a JSON file, or the only JSON file of a zip."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; check the path.")
    try:
        if not zipfile.is_zipfile(path):
            return json.loads(path.read_bytes())
        with zipfile.ZipFile(path) as archive:
            names = [n for n in archive.namelist() if n.endswith(".json")]
            if len(names) != 1:
                raise ValueError(
                    f"{path} holds {len(names)} JSON files; a submission zip holds "
                    "one, results.json."
                )
            return json.loads(archive.read(names[0]))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} is not valid JSON ({error}); it may be truncated."
        ) from error


def _check_ids(
    entry: Mapping[str, Any],
    videos: Mapping[int, Any],
    categories: set[int],
    where: str,
) -> None:
    for key, known in (("video_id", videos), ("category_id", categories)):
        if entry.get(key) not in known:
            raise ValueError(
                f"{where}: {key} {entry.get(key)} is not in the ground-truth file; "
                "check that ground truth and results belong to the same data set."
            )


def _check_segmentations(
    entry: Mapping[str, Any],
    video: Mapping[str, Any],
    size: tuple[int, int],
    where: str,
) -> None:
    segmentations = entry.get("segmentations")
    length = len(video["file_names"])
    if not isinstance(segmentations, list) or len(segmentations) != length:
        found = len(segmentations) if isinstance(segmentations, list) else "no"
        raise ValueError(
            f"{where}: found {found} segmentations, but video {video['id']} has "
            f"{length} frames; give one mask, or null, per frame."
        )
    for frame, mask in enumerate(segmentations):
        if not mask or isinstance(mask, list):
            continue
        if not isinstance(mask, Mapping) or not {"size", "counts"} <= set(mask):
            raise ValueError(
                f"{where}: the mask of frame {frame} is neither polygons nor an RLE "
                "with 'size' and 'counts'."
            )
        if tuple(mask["size"]) != size:
            raise ValueError(
                f"{where}: the mask of frame {frame} has height and width "
                f"{tuple(mask['size'])}, but the ground truth of video {video['id']} "
                f"has {size}; give masks at the original size."
            )


def _mask_sizes(ground_truth: Mapping[str, Any]) -> dict[int, tuple[int, int]]:
    """(height, width) of the masks of each video.

    Annotated masks come before the video's own entry: the official code compares
    masks, and counts masks of another size as misses without a word.
    """
    sizes = {
        video["id"]: (video["height"], video["width"])
        for video in ground_truth["videos"]
    }
    for annotation in ground_truth.get("annotations") or []:
        for mask in annotation["segmentations"]:
            if isinstance(mask, Mapping):
                sizes[annotation["video_id"]] = tuple(mask["size"])
                break
    return sizes
