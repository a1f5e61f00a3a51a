"""Turn data of the Cell Tracking Challenge into the YouTube-VIS format.

Images and label images are each a multi-page TIFF or a folder with one image per frame.
Labels that ``man_track.txt`` describes are identities already; without that file the
labels of each frame are linked to those of the frame before by their centroids, and one
that divides ends, as in the challenge: both halves are new.

Examples::

    python tools/dataset_converters/ctc.py 01 01_GT/TRA --out data/cells
    python tools/dataset_converters/ctc.py images.tif labels.tif --out data/cells \
        --tile 220 175 --overlap 0.5 --gamma 0.5
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from mmtaformer.utils.errors import DataError
from mmtaformer.utils.files import atomic_path
from mmtaformer.ytvis.rle import area, bounding_box, encode_masks

_IMAGE_SUFFIXES = (".tif", ".tiff", ".png")


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description="Turn images and label images of the Cell Tracking Challenge into "
        "train.json and val.json of the YouTube-VIS format, with their frames.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("images", type=Path, help="multi-page TIFF, or folder of frames")
    add("labels", type=Path, help="the same for the label images")
    add("--out", type=Path, required=True, help="folder of the data set")
    add("--tracks", type=Path, help="man_track.txt; the one beside the labels if any")
    add("--max-distance", type=float, default=22, help="of linked centroids, pixels")
    add("--category", default="nucleus", help="name of the only class")
    add("--gamma", type=float, default=1.0, help="exponent; below 1 lifts dim objects")
    add("--tile", type=int, nargs=2, metavar=("W", "H"), help="cut frames into tiles")
    add("--hold-out", type=int, help="column of tiles for val; the middle one if None")
    add("--overlap", type=float, default=0.0, help="of neighbouring training tiles")
    add("--min-area", type=int, default=40, help="pixels; smaller pieces are left out")
    args = parser.parse_args(argv)
    if not 0 <= args.overlap < 1:
        parser.error(f"--overlap is a part of a tile in [0, 1), but is {args.overlap}")
    if args.gamma <= 0:
        parser.error(f"--gamma must be positive, but is {args.gamma}")
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Convert what the command line names."""
    args = parse_args(argv)
    try:
        convert(args)
    except (FileNotFoundError, DataError) as error:
        sys.exit(f"error: {error}")


def convert(args: argparse.Namespace) -> None:
    """Read the stacks, give labels an identity, cut tiles and write both splits."""
    images, labels = read_stack(args.images), read_stack(args.labels)
    if images.shape != labels.shape:
        raise DataError(
            f"{args.images} has frames x height x width {images.shape}, but "
            f"{args.labels} has {labels.shape}; give images and labels of one sequence."
        )
    track_file = args.tracks or args.labels / "man_track.txt"
    if args.tracks or track_file.is_file():
        check_tracks(labels, read_track_file(track_file), track_file)
    else:
        labels = link_by_centroid(labels, args.max_distance)
    frames = to_uint8(images, args.gamma)
    height, width = labels.shape[1:]
    splits = {"train": [Tile(0, 0, width, height)], "val": []}
    if args.tile is not None:
        splits = make_tiles(
            (width, height), tuple(args.tile), args.hold_out, args.overlap
        )
    for split, tiles in splits.items():
        if tiles:
            videos, tracks = write_split(
                args.out, split, tiles, frames, labels, args.category, args.min_area
            )
            print(f"{args.out / split}.json: {videos} videos, {tracks} instances")


def read_stack(path: Path) -> np.ndarray:
    """Read the pages of a TIFF, or the images of a folder in order of their names.

    Returns:
        (T, H, W) integers.
    """
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix in _IMAGE_SUFFIXES)
        pages = [cv2.imread(str(p), cv2.IMREAD_UNCHANGED) for p in files]
    elif path.is_file():
        pages = list(cv2.imreadmulti(str(path), flags=cv2.IMREAD_UNCHANGED)[1])
    else:
        raise FileNotFoundError(f"{path} does not exist; check the path.")
    if not pages or any(page is None for page in pages):
        raise DataError(f"{path} has no frames, or one that is not an image.")
    shapes = {page.shape for page in pages}
    if len(shapes) > 1 or pages[0].ndim != 2:
        raise DataError(
            f"{path} has frames of shape {sorted(shapes)}; all must be grey and of one "
            "size."
        )
    return np.stack(pages)


def read_track_file(path: Path) -> dict[int, tuple[int, int]]:
    """First and last frame of each label; parents are not needed here."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; check --tracks.")
    try:
        table = np.loadtxt(path, dtype=int, ndmin=2)
        return {label: (first, last) for label, first, last, _ in table.tolist()}
    except ValueError as error:
        raise DataError(
            f"{path} is no man_track.txt ({error}); each line has four integers: "
            "label, first frame, last frame, parent."
        ) from error


def check_tracks(
    labels: np.ndarray, spans: dict[int, tuple[int, int]], path: Path
) -> None:
    """Check that every label is in the file, and within its frames."""
    for t, frame in enumerate(labels):
        for label in np.unique(frame[frame > 0]).tolist():
            first, last = spans.get(label, (1, 0))
            if not first <= t <= last:
                raise DataError(
                    f"{path} does not have label {label} in frame {t}, but the label "
                    "image has it; give the label images that belong to the file."
                )


def link_by_centroid(labels: np.ndarray, max_distance: float) -> np.ndarray:
    """Number the objects anew, so that a number stays with an object over time.

    Args:
        labels: (T, H, W), numbered frame by frame.
        max_distance: How far the centroid of an object moves from one frame to the
            next at most, in pixels.

    Returns:
        (T, H, W) int32.
    """
    linked = np.zeros(labels.shape, np.int32)
    count, previous_ids, previous_points = 0, np.zeros(0, int), np.zeros((0, 2))
    for t, frame in enumerate(labels):
        numbers, points = centroids(frame)
        sources = nearest_before(points, previous_points, max_distance)
        sources[find_halves(points, previous_points, sources, 2 * max_distance)] = -1
        new = sources < 0
        ids = np.empty(len(numbers), int)
        ids[~new] = previous_ids[sources[~new]]
        ids[new] = count + 1 + np.arange(new.sum())
        count += int(new.sum())
        lookup = np.zeros(int(frame.max()) + 1, np.int32)
        lookup[numbers] = ids
        linked[t] = lookup[frame]
        previous_ids, previous_points = ids, points
    return linked


def nearest_before(
    points: np.ndarray, previous: np.ndarray, max_distance: float
) -> np.ndarray:
    """Find each object in the frame before, by one assignment of centroids.

    Args:
        points: (n, 2) centroids.
        previous: (m, 2) those of the frame before.
        max_distance: How far a centroid moves at most.

    Returns:
        (n,) indices of ``previous``; -1 for what was not there.
    """
    distances = np.linalg.norm(points[:, None] - previous[None], axis=-1)
    cost = np.minimum(distances, 2 * max_distance)  # far is far
    rows, columns = linear_sum_assignment(cost)
    near = distances[rows, columns] <= max_distance
    sources = np.full(len(points), -1)
    sources[rows[near]] = columns[near]
    return sources


def find_halves(
    points: np.ndarray, previous: np.ndarray, sources: np.ndarray, reach: float
) -> list[int]:
    """Find linked objects that are one half of an object that divided.

    The other half is new, and the middle of both is nearer to where the object was.

    Args:
        points: (n, 2) centroids.
        previous: (m, 2) those of the frame before.
        sources: (n,) indices of ``previous``; -1 for new objects.
        reach: How far apart two halves are at most.

    Returns:
        Indices of ``points``.
    """
    old = np.flatnonzero(sources >= 0)
    was, now = previous[sources[old]], points[old]
    halves = []
    for point in points[sources < 0]:
        from_middle = np.linalg.norm((point + now) / 2 - was, axis=-1)
        fits = from_middle < np.linalg.norm(now - was, axis=-1)
        fits &= np.linalg.norm(point - now, axis=-1) <= reach
        if fits.any():
            halves.append(int(old[np.where(fits, from_middle, np.inf).argmin()]))
    return halves


def centroids(frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) labels of a frame, ascending, and (n, 2) their mean (x, y) in pixels."""
    y, x = np.nonzero(frame)
    numbers, index, areas = np.unique(
        frame[y, x], return_inverse=True, return_counts=True
    )
    sums = [np.bincount(index, axis, len(numbers)) for axis in (x, y)]
    return numbers, np.stack(sums, axis=-1) / areas[:, None]


def to_uint8(images: np.ndarray, gamma: float) -> np.ndarray:
    """Stretch the intensities of a whole sequence to 8 bits, alike in every frame."""
    low, high = np.percentile(images, [1, 99.8])
    scaled = (images.astype(np.float32) - low) / max(high - low, 1)
    return (255 * scaled.clip(0, 1) ** gamma).round().astype(np.uint8)


@dataclass(frozen=True)
class Tile:
    """A rectangle of all frames, in pixels."""

    x: int
    y: int
    width: int
    height: int

    def cut(self, stack: np.ndarray) -> np.ndarray:
        """Cut the tile out of (T, H, W)."""
        rows, columns = slice(self.y, self.y + self.height), slice(self.x, None)
        return stack[:, rows, columns][..., : self.width]


def make_tiles(
    size: tuple[int, int],
    tile: tuple[int, int],
    hold_out: int | None,
    overlap: float,
) -> dict[str, list[Tile]]:
    """Cut the frames into training tiles and a column of held-out ones.

    Training tiles overlap each other by the given part, but share no pixel with the
    held-out column.

    Args:
        size: (width, height) of the frames.
        tile: The same of a tile.
        hold_out: Index of the held-out column; None for the middle one.
        overlap: Part of a training tile that its neighbour repeats.

    Returns:
        Tiles of ``train`` and ``val``.
    """
    columns, rows = size[0] // tile[0], size[1] // tile[1]
    hold_out = columns // 2 if hold_out is None else hold_out
    if columns < 2 or rows < 1 or not 0 <= hold_out < columns:
        raise DataError(
            f"frames of {size[0]} x {size[1]} pixels have {columns} columns and {rows} "
            f"rows of tiles of {tile[0]} x {tile[1]}, and --hold-out is {hold_out}; at "
            "least two columns are needed, and the held-out one is counted from 0."
        )
    left, right = hold_out * tile[0], (hold_out + 1) * tile[0]
    train = [
        Tile(x, y, *tile)
        for low, high in ((0, left), (right, size[0]))
        for x in _starts(low, high, tile[0], overlap)
        for y in _starts(0, size[1], tile[1], overlap)
    ]
    val = [Tile(left, y, *tile) for y in _starts(0, size[1], tile[1], 0.0)]
    return {"train": train, "val": val}


def _starts(low: int, high: int, length: int, overlap: float) -> range:
    step = max(1, round(length * (1 - overlap)))
    return range(low, high - length + 1, step)


def write_split(
    out: Path,
    split: str,
    tiles: Sequence[Tile],
    frames: np.ndarray,
    labels: np.ndarray,
    category: str,
    min_area: int,
) -> tuple[int, int]:
    """Write frames and annotations of a split; each appears when it is complete.

    Returns:
        Number of videos and of instances.
    """
    folder = out / split
    if folder.exists() or (out / f"{split}.json").exists():
        raise DataError(f"{folder} exists; remove it, or choose another --out.")
    partial = out / f".{split}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    videos, annotations = [], []
    for video_id, tile in enumerate(tiles, start=1):
        name = f"x{tile.x:04d}_y{tile.y:04d}"
        _write_frames(partial / "JPEGImages" / name, tile.cut(frames))
        videos.append(
            {
                "id": video_id,
                "width": tile.width,
                "height": tile.height,
                "length": len(frames),
                "file_names": [f"{name}/{t:05d}.png" for t in range(len(frames))],
            }
        )
        for annotation in annotate(tile.cut(labels), min_area):
            number = len(annotations) + 1
            annotations.append({"id": number, "video_id": video_id, **annotation})
    content = {
        "categories": [{"id": 1, "name": category}],
        "videos": videos,
        "annotations": annotations,
    }
    os.replace(partial, folder)
    with atomic_path(out / f"{split}.json") as path:
        path.write_text(json.dumps(content))
    return len(videos), len(annotations)


def _write_frames(folder: Path, frames: Iterable[np.ndarray]) -> None:
    folder.mkdir(parents=True)
    for t, frame in enumerate(frames):
        if not cv2.imwrite(str(folder / f"{t:05d}.png"), frame):
            raise OSError(f"{folder} could not be written; is there space left?")


def annotate(labels: np.ndarray, min_area: int) -> Iterator[dict[str, Any]]:
    """Annotations of one video: masks, areas and boxes of each label over time.

    Args:
        labels: (T, H, W).
        min_area: Pieces of fewer pixels, such as slivers at the border of a tile, count
            as absent; an object that has nothing else is left out.
    """
    for label in np.unique(labels[labels > 0]):
        rles = encode_masks(labels == label)
        areas = [area(rle) for rle in rles]
        if max(areas) < min_area:
            continue
        present = [
            rle if size >= min_area else None
            for rle, size in zip(rles, areas, strict=True)
        ]
        yield {
            "category_id": 1,
            "iscrowd": 0,
            "segmentations": present,
            "areas": [rle and area(rle) for rle in present],
            "bboxes": [rle and bounding_box(rle) for rle in present],
        }


if __name__ == "__main__":
    main()
