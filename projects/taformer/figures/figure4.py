"""Figures 1 and 4: frames, and the masks of ground truth and models, row by row."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from mmtaformer.evaluation import load_ground_truth, load_results
from mmtaformer.utils.launch import friendly_errors
from mmtaformer.visualization import (
    SheetClip,
    Track,
    confident,
    draw_track_frame,
    drop_duplicates,
    match_colors,
    tracks_from_annotations,
    tracks_from_results,
)

from .common import (
    add_out_argument,
    add_video_arguments,
    entries_of,
    read_video,
    save_sheet,
    select_videos,
    spread,
    title_of,
)

_CELL_WIDTH = 320  # pixels


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
        truth = load_ground_truth(args.gt, need_annotations=False)
        results = {name: load_results(path, truth) for name, path in args.results}
        clips = [
            make_clip(truth, results, video, args)
            for video in select_videos(truth, args.video_ids, args.num_videos)
        ]
        png, pdf = save_sheet(clips, args.out)
        print(f"Wrote {png} and {pdf}.")


def make_clip(
    ground_truth: Mapping[str, Any],
    results: Mapping[str, Sequence[Mapping[str, Any]]],
    video: Mapping[str, Any],
    args: argparse.Namespace,
) -> SheetClip:
    """Draw frames, ground truth and models under each other.

    Args:
        ground_truth: Content of the file; without annotations, it has no row.
        results: Entries of the results file of each model.
        video: The video to show.
        args: ``img_prefix``, ``num_frames`` and ``score_thr``.

    Returns:
        One row of pictures each. An instance has one colour in all rows; predictions
        that cover no instance have colours of their own.
    """
    names = {c["id"]: c["name"] for c in ground_truth["categories"]}
    annotations = ground_truth.get("annotations")
    truth = tracks_from_annotations(entries_of(annotations, video), video, names)
    tracks: dict[str, list[Track]] = {"frame": []}
    if annotations:
        tracks["ground truth"] = truth
    for model, entries in results.items():
        size = (video["height"], video["width"])
        found = tracks_from_results(entries_of(entries, video), names, size)
        shown = confident(drop_duplicates(found), args.score_thr)
        tracks[model] = match_colors(shown, truth)
    frames = read_video(video, args.img_prefix)
    scale = _CELL_WIDTH / frames[0].shape[1]
    times = spread(range(len(frames)), args.num_frames)
    rows = {
        label: [draw_track_frame(frames[t], own, t, scale) for t in times]
        for label, own in tracks.items()
    }
    return SheetClip(title_of(video), [f"frame {t}" for t in times], rows)


if __name__ == "__main__":
    main()
