"""Show a results file: videos with its masks, and a sheet against ground truth."""

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from mmtaformer.utils.errors import DataError, UsageError
from mmtaformer.visualization import (
    SheetClip,
    Track,
    confident,
    contact_sheet,
    describe,
    draw_track_frame,
    drop_duplicates,
    match_colors,
    read_frame,
    tracks_from_annotations,
    tracks_from_results,
    write_video,
)
from mmtaformer.ytvis.results import load_ground_truth, load_results


@dataclass(frozen=True)
class Clip:
    """A video with its ground truth and its predictions."""

    video_id: int
    name: str
    paths: Sequence[Path]
    truth: Sequence[Track]
    predictions: Sequence[Track]
    sentence: str


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("gt", help="ground truth in the official JSON format")
    parser.add_argument("results", help="results: JSON, or a submission zip")
    parser.add_argument("--img-prefix", required=True, help="folder of the frames")
    parser.add_argument("--out-dir", help="folder of the videos")
    parser.add_argument("--videos", action="store_true", help="write videos")
    parser.add_argument("--sheet", metavar="PNG", help="write a contact sheet")
    parser.add_argument(
        "--num-videos",
        type=int,
        default=6,
        help="how many videos are shown, evenly spread over the file; 0 for all",
    )
    parser.add_argument(
        "--num-columns", type=int, default=6, help="frames per video on the sheet"
    )
    parser.add_argument(
        "--cell-width",
        type=int,
        default=320,
        help="width of a frame on the sheet, in pixels",
    )
    parser.add_argument(
        "--score-thr", type=float, default=0.3, help="lowest score that is shown"
    )
    parser.add_argument(
        "--nms-thr",
        type=float,
        default=0.7,
        help="instances that overlap a better one by a higher IoU are left out; 1 "
        "shows all but identical ones",
    )
    parser.add_argument("--fps", type=float, default=6, help="speed of the videos")
    args = parser.parse_args(argv)
    if not (args.videos or args.sheet):
        parser.error("nothing to do: give --videos, --sheet PNG, or both")
    if args.videos and not args.out_dir:
        parser.error("--videos needs --out-dir")
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Write what the command line asks for."""
    args = parse_args(argv)
    try:
        run(args)
    except (FileNotFoundError, DataError, UsageError) as error:
        sys.exit(f"error: {error}")


def run(args: argparse.Namespace) -> None:
    """Read the files, choose videos, and draw them."""
    ground_truth = load_ground_truth(args.gt, need_annotations=False)
    results = load_results(args.results, ground_truth)
    videos = spread(ground_truth["videos"], args.num_videos)
    clips = list(
        make_clips(
            ground_truth,
            results,
            videos,
            Path(args.img_prefix),
            args.score_thr,
            args.nms_thr,
        )
    )
    for clip in clips:
        print(f"video {clip.video_id} ({clip.name}): {clip.sentence}")
    if args.videos:
        for clip in track(clips, "videos", transient=True):
            write_clip(clip, Path(args.out_dir), args.fps)
        print(f"{len(clips)} videos are in {args.out_dir}.")
    if args.sheet:
        sheet_clips = [
            sheet_clip(clip, args.num_columns, args.cell_width)
            for clip in track(clips, "sheet", transient=True)
        ]
        title = f"Predictions with a score of {args.score_thr:.2f} or more"
        contact_sheet(args.sheet, sheet_clips, f"{title}; one colour per object")
        print(f"The contact sheet is {args.sheet}.")


def spread(items: Sequence[Any], count: int) -> list[Any]:
    """Choose ``count`` items, evenly spread from first to last; 0 for all."""
    if not 0 < count < len(items):
        return list(items)
    return [items[round(i)] for i in np.linspace(0, len(items) - 1, count)]


def make_clips(
    ground_truth: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    videos: Sequence[Mapping[str, Any]],
    img_prefix: Path,
    score_thr: float,
    nms_thr: float = 0.7,
) -> Iterator[Clip]:
    """Gather what belongs to each of ``videos``; predictions take its colours."""
    names = {c["id"]: c["name"] for c in ground_truth["categories"]}
    annotations, entries = defaultdict(list), defaultdict(list)
    for annotation in ground_truth["annotations"]:
        annotations[annotation["video_id"]].append(annotation)
    for entry in results:
        entries[entry["video_id"]].append(entry)
    for video in videos:
        truth = tracks_from_annotations(annotations[video["id"]], video, names)
        size = (video["height"], video["width"])
        found = tracks_from_results(entries[video["id"]], names, size)
        single = drop_duplicates(found, nms_thr=nms_thr)
        shown = confident(single, score_thr)
        yield Clip(
            video_id=video["id"],
            name=Path(video["file_names"][0]).parent.name,
            paths=[img_prefix / name for name in video["file_names"]],
            truth=truth,
            predictions=match_colors(shown, truth),
            sentence=describe(shown, single),
        )


def write_clip(clip: Clip, out_dir: Path, fps: float) -> None:
    """Write one video with the predictions."""
    frames = (
        draw_track_frame(read_frame(path), clip.predictions, t)
        for t, path in enumerate(clip.paths)
    )
    write_video(out_dir / f"{clip.video_id}_{clip.name}.mp4", frames, fps)


def sheet_clip(clip: Clip, num_columns: int, cell_width: int) -> SheetClip:
    """Draw frames of a clip, evenly spread over time, for the contact sheet."""
    times = spread(range(len(clip.paths)), num_columns)
    rows: dict[str, list[np.ndarray]] = {"ground truth": [], "prediction": []}
    for t in times:
        frame = read_frame(clip.paths[t])
        scale = min(cell_width / frame.shape[1], 0.75 * cell_width / frame.shape[0])
        for row, tracks in zip(rows, (clip.truth, clip.predictions), strict=True):
            rows[row].append(draw_track_frame(frame, tracks, t, scale))
    title = f"video {clip.video_id}  ({clip.name}, {len(clip.paths)} frames)"
    return SheetClip(title, [f"frame {t}" for t in times], rows)


if __name__ == "__main__":
    main()
