"""Figures 1 and 4: frames with the masks of ground truth and models, row by row."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from figure_files import add_out_argument, save_figure
from matplotlib.figure import Figure
from picture_grid import PictureRow, picture_grid
from video_selection import (
    add_video_arguments,
    annotations_of,
    folder_name,
    select_videos,
    spread,
)

from mmtaformer.evaluation import load_ground_truth, load_results
from mmtaformer.utils.launch import friendly_errors
from mmtaformer.visualization import (
    Track,
    draw_track_frame,
    match_colors,
    read_frame,
    tracks_from_annotations,
    tracks_from_results,
)

_CELL_WIDTH = 320  # pixels; labels have a size of their own


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_video_arguments(parser, num_videos=3)
    parser.add_argument(
        "--results",
        nargs=2,
        action="append",
        required=True,
        metavar=("NAME", "FILE"),
        help="a model and the results file that tools/test.py --out wrote; may be "
        "given repeatedly",
    )
    parser.add_argument(
        "--score-thr",
        type=float,
        default=0.3,
        help="lowest score that is shown (default: 0.3)",
    )
    add_out_argument(parser, "figures/figure4")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Write the figure that the command line asks for."""
    args = parse_args(argv)
    with friendly_errors():
        ground_truth = load_ground_truth(args.gt, need_annotations=False)
        videos = select_videos(ground_truth, args.video_ids, args.num_videos)
        results = {name: load_results(f, ground_truth) for name, f in args.results}
        figure = draw_figure(
            ground_truth,
            results,
            videos,
            Path(args.img_prefix),
            args.num_frames,
            args.score_thr,
        )
        png, pdf = save_figure(figure, args.out)
        print(f"Wrote {png} and {pdf}.")


def draw_figure(
    ground_truth: Mapping[str, Any],
    results: Mapping[str, Sequence[Mapping[str, Any]]],
    videos: Sequence[Mapping[str, Any]],
    img_prefix: Path,
    num_frames: int,
    score_thr: float,
) -> Figure:
    """Draw ground truth and models under each other, video by video.

    Args:
        ground_truth: Content of the file; without annotations, only models are shown.
        results: Entries of the results file of each model.
        videos: The videos to show.
        img_prefix: Folder of the frames.
        num_frames: How many frames of each video.
        score_thr: Lowest score that is shown.

    Returns:
        A figure with one axes per picture, row by row. An instance has one colour in
        all rows of its video; predictions that cover no instance have colours of
        their own.
    """
    names = {c["id"]: c["name"] for c in ground_truth["categories"]}
    rows = []
    for video in videos:
        annotations = annotations_of(ground_truth, video)
        truth = tracks_from_annotations(annotations, video, names)
        tracks = {"ground truth": truth} if ground_truth.get("annotations") else {}
        for model, entries in results.items():
            own = [e for e in entries if e["video_id"] == video["id"]]
            predictions = tracks_from_results(own, names, score_thr)
            tracks[model] = match_colors(predictions, truth)
        rows += video_rows(video, tracks, img_prefix, num_frames)
    return picture_grid(rows)


def video_rows(
    video: Mapping[str, Any],
    tracks: Mapping[str, Sequence[Track]],
    img_prefix: Path,
    num_frames: int,
) -> list[PictureRow]:
    """The rows of one video, the first with its title."""
    times = spread(range(len(video["file_names"])), num_frames)
    frames = [read_frame(img_prefix / video["file_names"][t]) for t in times]
    title = f"video {video['id']} ({folder_name(video)})"
    captions = [f"frame {t}" for t in times]
    rows = []
    for index, (label, own) in enumerate(tracks.items()):
        pictures = [draw(frame, own, t) for frame, t in zip(frames, times, strict=True)]
        head = {} if index else dict(title=title, captions=captions)
        rows.append(PictureRow(label, pictures, **head))
    return rows


def draw(frame: np.ndarray, tracks: Sequence[Track], t: int) -> np.ndarray:
    """Draw the instances of a frame, at the size of a picture of the figure."""
    return draw_track_frame(frame, tracks, t, _CELL_WIDTH / frame.shape[1])


if __name__ == "__main__":
    main()
