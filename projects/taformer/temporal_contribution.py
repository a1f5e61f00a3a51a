"""AP of models as they are, and with every frame seeing itself in place of others.

What a model loses is what it has learned to take from other frames.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from inference import add_model_arguments, load_model, open_videos
from mmengine.dataset import BaseDataset, pseudo_collate
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn

from mmtaformer.models.layers import (
    SpatioTemporalDeformableAttention,
    TemporalSelfAttention,
)
from mmtaformer.models.structures import ClipFeatures
from mmtaformer.utils.launch import friendly_errors

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
        for name, config, checkpoint in args.model:
            model, cfg = load_model(config, checkpoint, args.device)
            dataset = open_videos(cfg, args.gt, args.img_prefix)
            precisions = []
            for case, kinds in CASES.items():
                with only_own_frames(model, kinds):
                    precision = average_precision(model, dataset, f"{name}, {case}")
                precisions.append(f"{100 * precision:.1f}")
            table.add_row(name, *precisions)
        Console().print(table)


def average_precision(model: nn.Module, dataset: BaseDataset, title: str) -> float:
    """Test a model.

    Args:
        model: What :func:`inference.load_model` returns.
        dataset: What :func:`inference.open_videos` returns.
        title: What the progress bar is called.

    Returns:
        AP in [0, 1].
    """
    evaluator = Evaluator(dict(type="YTVISMetric", ann_file=dataset.ann_file))
    evaluator.dataset_meta = dataset.metainfo
    with torch.inference_mode():
        for index in track(range(len(dataset)), title, transient=True):
            batch = pseudo_collate([dataset[index]])
            evaluator.process(model.test_step(batch), batch)
    with without_tables():
        return evaluator.evaluate(len(dataset))["youtube_vis/AP"]


@contextmanager
def without_tables() -> Iterator[None]:
    """Keep the metric from printing its own tables, of which there would be many."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel("WARNING")
    try:
        yield
    finally:
        logger.setLevel(level)


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
