"""Reading, checking and writing YouTube-VIS ground truth and results files."""

import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmtaformer.utils.errors import DataError
from mmtaformer.utils.files import atomic_path

from .annotations import check_annotations, read_ytvis_json
from .checks import check_length, check_reference, is_finite, show
from .json_files import PathType, read_json_or_zip
from .rle import to_rles

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
        The content of the file, with masks as compressed RLEs.

    Raises:
        FileNotFoundError: If the file does not exist.
        DataError: If the file breaks the format, or has no annotations.
    """
    if isinstance(source, Mapping):
        name = "the ground truth"
        content = check_annotations(source, name)
    else:
        name, content = str(source), read_ytvis_json(source)
    if need_annotations and not content["annotations"]:
        raise DataError(
            f"{name} has no annotations, so nothing can be evaluated against it; give "
            "an annotated file, or only write the results (format_only=True)."
        )
    return content


def load_results(
    source: Sequence[Mapping[str, Any]] | PathType, ground_truth: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Read results in the official submission format and check them.

    Args:
        source: Path of the JSON file or of a submission zip, or the list of
            entries.
        ground_truth: The content of the ground-truth file the results belong to.

    Returns:
        One dict per predicted instance of a video with ``video_id``,
        ``category_id``, ``score`` and ``segmentations``, compressed RLEs or None.

    Raises:
        FileNotFoundError: If the file does not exist.
        DataError: If it is not a results file, or does not fit the ground truth.
    """
    name, content = "the results", source
    if isinstance(source, str | os.PathLike):
        name = str(source)
        content = read_json_or_zip(source, "results file", compress_masks=True)
    if not isinstance(content, Sequence) or isinstance(content, str):
        raise DataError(
            f"{name} holds a JSON {type(content).__name__}, but a results file is a "
            "list with one entry per predicted instance; ground truth comes before "
            "results on the command line."
        )
    return ResultsChecker(ground_truth).check(content, name)


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

    def check(
        self, results: Sequence[Any], name: str = "the results"
    ) -> list[dict[str, Any]]:
        """Check every entry.

        Args:
            results: The entries.
            name: How to call the results in a message.

        Returns:
            The entries with compressed RLEs of the video's size, or None, as
            ``segmentations``.

        Raises:
            DataError: If an entry is malformed, names a video or a category that
                the file does not have, or has masks of another number or size.
        """
        return [
            self._check_entry(entry, f"{name}, entry {index}")
            for index, entry in enumerate(results)
        ]

    def _check_entry(self, entry: Any, where: str) -> dict[str, Any]:
        has = entry if isinstance(entry, Mapping) else {}
        missing = [key for key in _RESULT_KEYS if key not in has]
        if missing:
            raise DataError(
                f"{where} lacks {', '.join(missing)}; each entry of a results file has "
                f"{', '.join(_RESULT_KEYS)}."
            )
        advice = (
            "the ground-truth file; check that ground truth and results belong to the "
            "same data set."
        )
        check_reference(entry, "video_id", self.videos, where, advice)
        check_reference(entry, "category_id", self.categories, where, advice)
        if not is_finite(entry["score"]):
            raise DataError(
                f"{where}: the score {show(entry['score'])} is not a finite number; "
                "correct it."
            )
        video = self.videos[entry["video_id"]]
        check_length(entry, "segmentations", video, where)
        rles = to_rles(
            entry["segmentations"],
            video["height"],
            video["width"],
            lambda t: f"{where}, video {video['id']}, frame {t}",
        )
        return {**entry, "segmentations": rles}
