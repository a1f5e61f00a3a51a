"""AP of models as they are, and with every frame seeing itself in place of others.

What a model loses is what it has learned to take from other frames.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn

from mmtaformer.evaluation import (
    evaluate_ytvis,
    frames_to_results,
    load_ground_truth,
)
from mmtaformer.models.layers import (
    SpatioTemporalDeformableAttention,
    TemporalSelfAttention,
)
from mmtaformer.models.structures import ClipFeatures
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


@contextmanager
def only_own_frames(model: nn.Module, kinds: tuple[type, ...]) -> Iterator[None]:
    """Give every frame itself in place of other frames, for as long as this lasts.

    Args:
        model: The model.
        kinds: Classes of the layers concerned.
    """
    layers = [module for module in model.modules() if isinstance(module, kinds)]
    for layer in layers:
        encodes = isinstance(layer, SpatioTemporalDeformableAttention)
        replacement = sample_own_frame if encodes else attend_to_own_frame
        layer.forward = partial(replacement, layer.forward)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def sample_own_frame(
    forward: Callable[..., Tensor],
    query: Tensor,
    features: ClipFeatures,
    first_frame: int = 0,
) -> Tensor:
    """Call the encoder's attention with neighbours that are copies of the frame.

    The arguments are those of :class:`SpatioTemporalDeformableAttention`. A frame has
    as many neighbours as before, so that the weights of a sample mean the same.
    """
    attended = []
    for t in range(query.size(1)):
        frame = first_frame + t
        own = features.tokens[:, frame : frame + 1]
        copies = features.with_tokens(own.expand_as(features.tokens))
        attended.append(forward(query[:, t : t + 1], copies, frame))
    return torch.cat(attended, dim=1)


def attend_to_own_frame(forward: Callable[..., Tensor], box_query: Tensor) -> Tensor:
    """Call the decoder's temporal self-attention with copies of each frame's queries.

    The positions of the frames stay what they are. Shapes are those of
    :class:`TemporalSelfAttention`.
    """
    frames = range(box_query.size(1))
    attended = [forward(box_query[:, t : t + 1].expand_as(box_query)) for t in frames]
    return torch.stack([attended[t][:, t] for t in frames], dim=1)


if __name__ == "__main__":
    main()
