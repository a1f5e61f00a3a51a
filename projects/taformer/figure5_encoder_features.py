"""Figure 5: what the encoder makes of frames, averaged over channels, by model."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from figure_files import add_out_argument, save_figure
from inference import add_model_arguments, run_models
from matplotlib.figure import Figure
from picture_grid import PictureRow, picture_grid
from video_selection import add_video_arguments, folder_name, select_videos, spread

from mmtaformer.evaluation import load_ground_truth
from mmtaformer.models.structures import ClipFeatures
from mmtaformer.utils.launch import friendly_errors
from mmtaformer.visualization import read_frame


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_video_arguments(parser, num_videos=2)
    add_model_arguments(parser)
    add_out_argument(parser, "figures/figure5")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Write the figure that the command line asks for."""
    args = parse_args(argv)
    with friendly_errors():
        ground_truth = load_ground_truth(args.gt, need_annotations=False)
        videos = select_videos(ground_truth, args.video_ids, args.num_videos)
        maps: dict[str, dict[int, np.ndarray]] = {}
        for name, _, _, video_id, output in run_models(
            args.model, args.device, args.gt, args.img_prefix, [v["id"] for v in videos]
        ):
            maps.setdefault(name, {})[video_id] = channel_mean(output.memory)
        figure = draw_figure(maps, videos, Path(args.img_prefix), args.num_frames)
        png, pdf = save_figure(figure, args.out)
        print(f"Wrote {png} and {pdf}.")


def channel_mean(memory: ClipFeatures) -> np.ndarray:
    """Average the finest level of the encoder's output over channels.

    Args:
        memory: The encoder's output, of one clip.

    Returns:
        (T, H, W), at a stride of 8 pixels in the models of the paper.
    """
    (finest,) = memory.level_maps(1)
    return finest.mean(dim=1).float().cpu().numpy()


def draw_figure(
    maps: Mapping[str, Mapping[int, np.ndarray]],
    videos: Sequence[Mapping[str, Any]],
    img_prefix: Path,
    num_frames: int,
) -> Figure:
    """Draw frames and the maps of each model under each other, video by video.

    Args:
        maps: For each model and video id, (T, H, W).
        videos: The videos to show.
        img_prefix: Folder of the frames.
        num_frames: How many frames of each video.

    Returns:
        A figure with one axes per picture, row by row. The colours of a row of maps
        cover its range, so they can be compared within a row only.
    """
    rows = []
    for video in videos:
        times = spread(range(len(video["file_names"])), num_frames)
        frames = [read_frame(img_prefix / video["file_names"][t]) for t in times]
        title = f"video {video['id']} ({folder_name(video)})"
        captions = [f"frame {t}" for t in times]
        rows.append(PictureRow("frame", frames, title, captions))
        rows += [
            PictureRow(name, [by_video[video["id"]][t] for t in times])
            for name, by_video in maps.items()
        ]
    return picture_grid(rows)


if __name__ == "__main__":
    main()
