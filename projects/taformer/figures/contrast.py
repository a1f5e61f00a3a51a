"""The contrastive loss of trained models on clips whose frames have nothing in common.

It compares a query with itself in other frames. Where it is as low for frames of
different videos, or for empty ones, queries are told apart by what was learned for each
of them, and the loss asks nothing of what the frames show.
"""

import argparse
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import nn

from mmtaformer.evaluation import load_ground_truth
from mmtaformer.models.losses import BoxQueryContrastiveLoss
from mmtaformer.utils.launch import UsageError, friendly_errors

from .common import (
    add_data_arguments,
    add_model_arguments,
    load_models,
    read_video,
    run_video,
)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_data_arguments(parser)
    add_model_arguments(parser)
    parser.add_argument(
        "--num-frames", type=int, default=5, help="of a clip, 2 or more (default: 5)"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table that the command line asks for."""
    args = parse_args(argv)
    with friendly_errors():
        truth = load_ground_truth(args.gt)
        clips = read_clips(truth, args.img_prefix, args.num_frames)
        cases = {
            "of one video": clips,
            "of different videos": mixed(clips),
            "grey": [np.full_like(clips[0], 128)],
        }
        table = Table("model", *cases, "(if all queries are alike)")
        table.title = "contrastive loss if the frames of a clip are"
        for name, model in load_models(
            args.model, args.device, len(truth["categories"])
        ):
            if model.bbox_head.loss_contrastive is None:
                raise UsageError(f"the model {name} has no contrastive loss.")
            figures = [
                mean_loss(model, track(frames, f"{name}, {case}", transient=True))
                for case, frames in cases.items()
            ]
            figures.append(math.log(model.query_embedding.num_embeddings))
            table.add_row(name, *(f"{figure:.4f}" for figure in figures))
        Console().print(table)


def read_clips(
    ground_truth: Mapping[str, Any], img_prefix: str, num_frames: int
) -> list[np.ndarray]:
    """The first frames of all videos that are long enough, of one size.

    Returns:
        (num_frames, H, W, 3) of each video whose frames are as large as the first's.

    Raises:
        UsageError: If a clip has one frame, or fewer than two videos are left.
    """
    if num_frames < 2:
        raise UsageError(f"--num-frames is {num_frames}; give 2 or more.")
    clips: list[np.ndarray] = []
    for video in ground_truth["videos"]:
        names = video["file_names"][:num_frames]
        if len(names) == num_frames:
            clip = np.stack(read_video({**video, "file_names": names}, img_prefix))
            if not clips or clip.shape == clips[0].shape:
                clips.append(clip)
    if len(clips) < 2:
        raise UsageError(
            f"videos of one size with {num_frames} frames or more: {len(clips)}; give "
            "data with at least 2."
        )
    return clips


def mixed(clips: Sequence[np.ndarray]) -> list[np.ndarray]:
    """As many clips, each of the frames of one video after the other."""
    return [
        np.stack([clips[(first + t) % len(clips)][t] for t in range(len(clips[0]))])
        for first in range(len(clips))
    ]


def mean_loss(model: nn.Module, clips: Iterable[np.ndarray]) -> float:
    """Mean of the loss of Eqs. (7) and (8) over clips, on the last decoder layer.

    Args:
        model: A model that was trained with it, whose temperature is taken.
        clips: (T, H, W, 3) RGB, uint8.
    """
    head = model.bbox_head
    loss = BoxQueryContrastiveLoss(temperature=head.loss_contrastive.temperature)
    values = []
    for clip in clips:
        box_query = run_video(model, list(clip)).output.box_query
        with torch.inference_mode():
            values.append(loss(head.projector(box_query)).item())
    return float(np.mean(values))


if __name__ == "__main__":
    main()
