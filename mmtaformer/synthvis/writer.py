"""Writes a generated split to disk in the official YouTube-VIS format.

::

    out_dir/train.json
    out_dir/train/JPEGImages/00000/00000.jpg
"""

import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Generator, Iterable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import cv2
from rich.progress import track

from mmtaformer.utils.errors import DataError, UsageError

from .annotations import annotate
from .dropout import Dropout
from .options import SplitOptions, generate_video

_JPEG_QUALITY = 92
_Record = tuple[dict[str, Any], list[dict[str, Any]]]


def write_synthvis(
    out_dir: str | Path,
    split: str,
    num_videos: int,
    num_frames: int,
    size: tuple[int, int],
    seed: int,
    difficulty: str = "medium",
    workers: int = 1,
    overwrite: bool = False,
    show_progress: bool = False,
    dropout: Dropout | None = None,
) -> Path:
    """Generate a split and write its JPEG frames and annotation file.

    Files get their final names when the split is complete, the annotation file last.
    A split that exists with the same options is left as it is.

    Args:
        out_dir: Folder of the data set; one folder and one JSON file per split.
        split: Name of the split, for instance ``train``.
        num_videos: Number of videos.
        num_frames: Frames per video.
        size: Width and height in pixels.
        seed: Seed of everything random.
        difficulty: Name of a level in ``DIFFICULTIES``.
        workers: Processes; the data do not depend on it.
        overwrite: Replace a split that exists with other options.
        show_progress: Show a progress bar.
        dropout: Replaces the dropout of a level that has one.

    Returns:
        Path of the annotation file.

    Raises:
        UsageError: If an option is out of its range.
        DataError: If the split exists with other options or in parts and
            ``overwrite`` is False.
    """
    options = SplitOptions(
        split, num_videos, num_frames, size, seed, difficulty, dropout
    )
    if workers < 1:
        raise UsageError(f"workers is {workers}: give at least 1.")
    annotation_file = Path(out_dir) / f"{split}.json"
    if is_written(out_dir, options, overwrite):
        return annotation_file

    partial_dir = Path(out_dir) / f".{split}.partial"
    shutil.rmtree(partial_dir, ignore_errors=True)  # of a run that was killed
    images_dir = partial_dir / "JPEGImages"
    images_dir.mkdir(parents=True)
    try:
        # Closing stops the workers before their folder is removed.
        with closing(_write_videos(options, images_dir, workers)) as records:
            shown = track(
                records, f"{split} videos", num_videos, disable=not show_progress
            )
            content = _annotation_content(options, shown)
        partial_json = partial_dir / "annotations.json"
        partial_json.write_text(json.dumps(content, separators=(",", ":")))
        _publish(partial_dir, partial_json, annotation_file)
    finally:
        shutil.rmtree(partial_dir, ignore_errors=True)
    return annotation_file


def is_written(
    out_dir: str | Path, options: SplitOptions, overwrite: bool = False
) -> bool:
    """Whether a split with these very options is on disk, complete.

    Args:
        out_dir: Folder of the data set.
        options: The split.
        overwrite: Answer False instead of raising where other data may be replaced.

    Raises:
        DataError: If other data is in the way: a split with other options, one with
            frames missing (both may be overwritten), or a file of another origin.
    """
    annotation_file = Path(out_dir) / f"{options.split}.json"
    split_dir = Path(out_dir) / options.split
    if not annotation_file.exists():
        if split_dir.exists() and not overwrite:
            raise DataError(
                f"{split_dir} exists without {annotation_file}: pass --overwrite to "
                "replace the folder, or choose another output folder."
            )
        return False

    content = _read_generated(annotation_file)
    differences = _differences(content["info"]["options"], options.describe())
    if differences and not overwrite:
        raise DataError(
            f"{annotation_file} exists with other options ({'; '.join(differences)}): "
            "pass --overwrite to replace it, or choose another output folder."
        )
    missing = _missing_frame(content, split_dir / "JPEGImages")
    if missing and not overwrite:
        raise DataError(
            f"{annotation_file} exists, but its frame {missing} does not: pass "
            "--overwrite to generate the split anew."
        )
    return not differences and not missing


def _read_generated(annotation_file: Path) -> dict[str, Any]:
    """Content of an annotation file that this generator wrote."""
    try:
        content = json.loads(annotation_file.read_text())
        content["info"]["options"]["version"]
    except (ValueError, KeyError, TypeError):
        raise DataError(
            f"{annotation_file} was not written by this generator and is not "
            "touched: choose another output folder."
        ) from None
    return content


def _differences(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """One text for each option that differs; knobs count within one difficulty."""
    if found.get("difficulty") == wanted["difficulty"]:
        found = {**found, **found.get("knobs", {})}
        wanted = {**wanted, **wanted["knobs"]}
    return [
        f"{name} is {found.get(name)}, not {wanted.get(name)}"
        for name in sorted({*found, *wanted} - {"knobs"})
        if found.get(name) != wanted.get(name)
    ]


def _missing_frame(content: dict[str, Any], images_dir: Path) -> str:
    """The first frame that is not on disk, or an empty text."""
    for video in content["videos"]:
        for name in video["file_names"]:
            if not (images_dir / name).is_file():
                return str(images_dir / name)
    return ""


def _write_videos(
    options: SplitOptions, images_dir: Path, workers: int
) -> Generator[_Record, None, None]:
    """Records of all videos in order; frames are written on the way."""
    write = partial(_write_video, options, images_dir)
    if workers == 1:
        yield from map(write, range(options.num_videos))
        return
    with multiprocessing.Pool(workers, initializer=_start_worker) as pool:
        yield from pool.imap(write, range(options.num_videos), chunksize=2)


def _start_worker() -> None:
    """One thread per process; an interrupt is the main process's business."""
    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _write_video(options: SplitOptions, images_dir: Path, index: int) -> _Record:
    """Write the frames of a video; return its record and annotations without ids."""
    video = generate_video(options, index)
    name = f"{index:05d}"
    (images_dir / name).mkdir()
    file_names = []
    for time, frame in enumerate(video.frames):
        file_names.append(f"{name}/{time:05d}.jpg")
        _, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        (images_dir / file_names[-1]).write_bytes(data.tobytes())
    width, height = options.size
    record = {
        "id": index + 1,
        "width": int(width),
        "height": int(height),
        "length": options.num_frames,
        "file_names": file_names,
    }
    visibilities: Iterable[Any] = [None] * len(video.labels)
    if video.visibilities is not None:
        visibilities = video.visibilities
    annotations = [
        annotate(masks, int(label) + 1, visible)
        for masks, label, visible in zip(video.masks, video.labels, visibilities)
    ]
    return record, [annotation for annotation in annotations if annotation]


def _annotation_content(
    options: SplitOptions, records: Iterable[_Record]
) -> dict[str, Any]:
    """The annotation file; ids are given in the order of the videos."""
    videos: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for video, found in records:
        videos.append(video)
        for annotation in found:
            ids = {"id": len(annotations) + 1, "video_id": video["id"]}
            annotations.append({**ids, **annotation})
    kind = "colour" if options.level.class_is_colour else "shape"
    return {
        "info": {
            "description": "SynthVIS, generated videos for video instance segmentation",
            "options": options.describe(),
        },
        "videos": videos,
        "categories": [
            {"id": index + 1, "name": name, "supercategory": kind}
            for index, name in enumerate(options.classes)
        ],
        "annotations": annotations,
    }


def _publish(partial_dir: Path, partial_json: Path, annotation_file: Path) -> None:
    """Give a complete split its final names, the annotation file last."""
    split_dir = annotation_file.with_suffix("")
    annotation_file.unlink(missing_ok=True)  # never names frames of another split
    if split_dir.exists():
        shutil.rmtree(split_dir)
    staged_json = annotation_file.with_name(f".{annotation_file.name}.partial")
    os.replace(partial_json, staged_json)
    os.replace(partial_dir, split_dir)
    os.replace(staged_json, annotation_file)
