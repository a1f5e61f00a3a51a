"""Figure 5: what the encoder makes of frames, averaged over channels, by model."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from mmtaformer.evaluation import load_ground_truth
from mmtaformer.models.structures import ClipFeatures
from mmtaformer.utils.launch import friendly_errors
from mmtaformer.visualization import SheetClip

from .common import (
    add_model_arguments,
    add_out_argument,
    add_video_arguments,
    heat_maps,
    load_models,
    read_video,
    run_video,
    save_sheet,
    select_videos,
    spread,
    title_of,
)

_CELL = 320  # pixels


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
        truth = load_ground_truth(args.gt, need_annotations=False)
        videos = select_videos(truth, args.video_ids, args.num_videos)
        frames = [read_video(video, args.img_prefix) for video in videos]
        maps: dict[str, list[np.ndarray]] = {}
        for name, model in load_models(
            args.model, args.device, len(truth["categories"])
        ):
            maps[name] = [channel_mean(run_video(model, f).memory) for f in frames]
        clips = [
            make_clip(video, own, {name: m[i] for name, m in maps.items()}, args)
            for i, (video, own) in enumerate(zip(videos, frames, strict=True))
        ]
        png, pdf = save_sheet(clips, args.out)
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


def make_clip(
    video: Mapping[str, Any],
    frames: Sequence[np.ndarray],
    maps: Mapping[str, np.ndarray],
    args: argparse.Namespace,
) -> SheetClip:
    """Draw frames and the maps of each model under each other.

    Args:
        video: Entry of ``videos``.
        frames: Its frames.
        maps: For each model, (T, H, W).
        args: ``num_frames``.

    Returns:
        One row of pictures each. The colours of a row of maps cover its range, so
        they can be compared within a row only.
    """
    times = spread(range(len(frames)), args.num_frames)
    size = (_CELL, round(_CELL * frames[0].shape[0] / frames[0].shape[1]))
    rows = {"frame": [cv2.resize(frames[t], size) for t in times]}
    for name, own in maps.items():
        rows[name] = [
            cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST)
            for picture in heat_maps([own[t] for t in times])
        ]
    return SheetClip(title_of(video), [f"frame {t}" for t in times], rows)


if __name__ == "__main__":
    main()
