"""AP of models as they are, and with every frame seeing itself in place of others.

What a model loses is what it has learned to take from other frames.
"""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import nn

from mmtaformer.evaluation import (
    evaluate_ytvis,
    frames_to_results,
    load_ground_truth,
)
from mmtaformer.evaluation.own_frames import only_own_frames
from mmtaformer.models.layers import (
    SpatioTemporalDeformableAttention,
    TemporalSelfAttention,
)
from mmtaformer.utils.launch import friendly_errors

from .common import add_model_arguments, load_models, predict, read_video

# What sees its own frame only, by column of the table.
CASES = {
    "as it is": (),
    "encoder": (SpatioTemporalDeformableAttention,),
    "decoder": (TemporalSelfAttention,),
    "both": (SpatioTemporalDeformableAttention, TemporalSelfAttention),
}


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("gt", help="ground truth in the official JSON format")
    parser.add_argument("--img-prefix", required=True, help="folder of the frames")
    add_model_arguments(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table that the command line asks for."""
    args = parse_args(argv)
    with friendly_errors():
        table = Table("model", *CASES, title="AP if these see their own frame only")
        truth = load_ground_truth(args.gt)
        for name, model in load_models(
            args.model, args.device, len(truth["categories"])
        ):
            precisions = []
            for case, kinds in CASES.items():
                with only_own_frames(model, kinds):
                    precision = average_precision(
                        model, truth, args.img_prefix, f"{name}, {case}"
                    )
                precisions.append(f"{100 * precision:.1f}")
            table.add_row(name, *precisions)
        Console().print(table)


def average_precision(
    model: nn.Module, ground_truth: Mapping[str, Any], img_prefix: str, title: str
) -> float:
    """Test a model.

    Args:
        model: The model.
        ground_truth: Content of the file.
        img_prefix: Folder of the frames.
        title: What the progress bar is called.

    Returns:
        AP in [0, 1].
    """
    category_ids = sorted(category["id"] for category in ground_truth["categories"])
    results = []
    for video in track(ground_truth["videos"], title, transient=True):
        sample = predict(model, read_video(video, img_prefix))
        frames = sample.video_data_samples
        results += frames_to_results(frames, video["id"], category_ids)
    return evaluate_ytvis(ground_truth, results)["AP"]


if __name__ == "__main__":
    main()
