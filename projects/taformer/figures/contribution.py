"""AP of models as they are, and with every frame seeing itself in place of others.

What a model loses is what it has learned to take from other frames.
"""

import argparse
import json
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
from mmtaformer.utils.files import atomic_path
from mmtaformer.utils.launch import friendly_errors

from .common import (
    add_data_arguments,
    add_model_arguments,
    load_models,
    predict,
    read_video,
)

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
    add_data_arguments(parser)
    add_model_arguments(parser)
    parser.add_argument("--json", metavar="OUT", help="write all figures to this file")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table that the command line asks for."""
    args = parse_args(argv)
    with friendly_errors():
        table = Table("model", *CASES, title="AP if these see their own frame only")
        figures: dict[str, dict[str, float]] = {}
        truth = load_ground_truth(args.gt)
        for name, model in load_models(
            args.model, args.device, len(truth["categories"])
        ):
            figures[name] = {}
            for case, kinds in CASES.items():
                if not all(looks_at_others(model, kind) for kind in kinds):
                    continue
                with only_own_frames(model, kinds):
                    figures[name][case] = average_precision(
                        model, truth, args.img_prefix, f"{name}, {case}"
                    )
            cells = (figures[name].get(case) for case in CASES)
            table.add_row(
                name, *("-" if c is None else f"{100 * c:.1f}" for c in cells)
            )
        Console().print(table)
        if args.json:
            with atomic_path(args.json) as partial:
                partial.write_text(json.dumps(figures, indent=1) + "\n")


def looks_at_others(model: nn.Module, kind: type) -> bool:
    """Whether a model has layers of a kind that look at other frames."""
    layers = (module for module in model.modules() if isinstance(module, kind))
    return any(getattr(layer, "relative_frames", True) for layer in layers)


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
