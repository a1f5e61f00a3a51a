"""Where the encoder samples neighbouring frames for an object that is not drawn.

One row per video: a frame that does not show an annotated object, with the frames
around it. The encoder's token at the middle of the object (cross) is followed; a dot is
a sample, its area the weight. Outlines are those of the annotation.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from mmtaformer.evaluation import load_ground_truth
from mmtaformer.models.structures import ClipFeatures
from mmtaformer.utils.errors import DataError
from mmtaformer.utils.launch import UsageError, friendly_errors
from mmtaformer.ytvis.rle import decode

from .common import (
    add_model_arguments,
    add_out_argument,
    add_video_arguments,
    entries_of,
    kept_outputs,
    load_models,
    predict,
    read_video,
    save_figure,
    select_videos,
    title_of,
)


@dataclass(frozen=True)
class Hidden:
    """An object in a frame that does not show it.

    Attributes:
        frame: Index of the frame.
        masks: (T, H, W) bool, the annotated masks of the object.
    """

    frame: int
    masks: np.ndarray

    @property
    def middle(self) -> tuple[float, float]:
        """(x, y) of the centroid in the frame, in pixels."""
        ys, xs = np.nonzero(self.masks[self.frame])
        return float(xs.mean() + 0.5), float(ys.mean() + 0.5)


@dataclass(frozen=True)
class Samples:
    """What one query samples from one frame.

    Attributes:
        points: (n, 2) as (x, y) in pixels of the frame.
        weights: (n,), of all frames of a half of the attention together 1.
    """

    points: np.ndarray
    weights: np.ndarray


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_video_arguments(parser, num_videos=2, with_frames=False)
    add_model_arguments(parser)
    parser.add_argument(
        "--layer", type=int, default=0, help="encoder layer, from 0 (default: 0)"
    )
    add_out_argument(parser, "figures/sampling")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Write the figure that the command line asks for."""
    args = parse_args(argv)
    with friendly_errors():
        truth = load_ground_truth(args.gt)
        videos = select_videos(truth, args.video_ids, args.num_videos)
        models = load_models(args.model, args.device, len(truth["categories"]))
        rows = []
        for name, model in models:
            attention = temporal_attention(model, args.layer)
            for video in videos:
                window = attention.temporal_window
                hidden = find_hidden(entries_of(truth["annotations"], video), window)
                if hidden is None:
                    raise UsageError(
                        f"video {video['id']} has no object that a frame hides and "
                        f"{window} frames before and after it; choose --video-ids."
                    )
                frames = read_video(video, args.img_prefix)
                samples = sampled(model, attention, frames, hidden)
                rows.append((f"{name}, {title_of(video)}", frames, hidden, samples))
        png, pdf = save_figure(plot(rows), args.out)
        print(f"Wrote {png} and {pdf}.")


def temporal_attention(model: nn.Module, layer: int) -> nn.Module:
    """The attention of an encoder layer.

    Raises:
        UsageError: If there is no such layer, or it sees its own frame only.
    """
    layers = model.encoder.layers
    if not 0 <= layer < len(layers):
        raise UsageError(
            f"--layer {layer}: the encoder has layers 0 to {len(layers) - 1}."
        )
    attention = layers[layer].self_attn
    if not attention.relative_frames:
        raise UsageError("the model's encoder does not look at other frames.")
    return attention


def find_hidden(annotations: Sequence[Mapping[str, Any]], window: int) -> Hidden | None:
    """Find the frame nearest to the middle of a video that hides an object.

    Args:
        annotations: Those of the video.
        window: How many annotated frames there must be before and after it.

    Returns:
        None if there is no such frame.

    Raises:
        DataError: If an annotation does not say what its frames show.
    """
    found = []
    for annotation in annotations:
        rles = annotation["segmentations"]
        if "visibilities" not in annotation:
            raise DataError(
                f"annotation {annotation['id']} has no visibilities; give a file that "
                "generate_synthvis.py wrote for the level deform or identity."
            )
        for t in range(window, len(rles) - window):
            around = rles[t - window : t + window + 1]
            if annotation["visibilities"][t] == 0 and all(around):
                found.append((abs(2 * t - len(rles)), t, annotation))
    if not found:
        return None
    _, frame, annotation = min(found, key=lambda entry: entry[0])
    empty = np.zeros(annotation["segmentations"][frame]["size"], bool)
    rles = annotation["segmentations"]
    masks = [empty if rle is None else decode(rle).astype(bool) for rle in rles]
    return Hidden(frame, np.stack(masks))


def sampled(
    model: nn.Module,
    attention: nn.Module,
    frames: Sequence[np.ndarray],
    hidden: Hidden,
) -> dict[int, Samples]:
    """Follow the token of the finest level at the middle of an object.

    Args:
        model: The model.
        attention: A spatio-temporal attention of its encoder.
        frames: The T frames of the video.
        hidden: The object and the frame.

    Returns:
        The samples by relative frame; 0 is the spatial half.
    """
    layers = {
        half: (
            getattr(attention, f"{prefix}sampling_offsets"),
            getattr(attention, f"{prefix}attention_weights"),
        )
        for half, prefix in (("spatial", ""), ("temporal", "temporal_"))
    }
    linears = [layer for pair in layers.values() for layer in pair]
    with (
        kept_outputs(model) as seen,
        kept_frames(linears) as kept,
        torch.inference_mode(),
    ):
        predict(model, frames)
    memory = seen["encoder"]
    token = token_at(memory, hidden.middle, frames[0].shape)
    found = {}
    for half, relative in (("spatial", (0,)), ("temporal", attention.relative_frames)):
        offsets, logits = (kept[layer][hidden.frame, token] for layer in layers[half])
        groups = (attention.num_heads, len(relative), attention.num_levels)
        offsets = offsets.unflatten(-1, (*groups, -1, 2))
        points = locations(offsets, memory, token) * torch.tensor(
            [frames[0].shape[1], frames[0].shape[0]]
        )
        weights = logits.unflatten(-1, (groups[0], -1)).softmax(-1) / groups[0]
        weights = weights.unflatten(-1, (*groups[1:], -1))
        for i, r in enumerate(relative):
            found[r] = Samples(
                points[:, i].flatten(0, -2).numpy(), weights[:, i].flatten().numpy()
            )
    return found


@contextmanager
def kept_frames(layers: Sequence[nn.Module]) -> Iterator[dict[nn.Module, Tensor]]:
    """Keep what layers return for a clip that is worked on in runs of frames.

    The dictionary holds (T, S, ...) for each, of everything seen so far.
    """
    kept: dict[nn.Module, Tensor] = {}

    def keep(layer: nn.Module, inputs: Any, output: Tensor) -> None:
        parts = [kept[layer]] if layer in kept else []
        kept[layer] = torch.cat([*parts, output[0].float().cpu()])

    hooks = [layer.register_forward_hook(keep) for layer in layers]
    try:
        yield kept
    finally:
        for hook in hooks:
            hook.remove()


def token_at(
    memory: ClipFeatures, point: tuple[float, float], frame_shape: Sequence[int]
) -> int:
    """Index of the token of the finest level nearest to a pixel of the frame."""
    height, width = memory.spatial_shapes[0]
    finest = memory.reference_points[0, : height * width, 0]
    pixels = finest / memory.valid_ratios[0, 0] * finest.new_tensor(frame_shape[1::-1])
    return int((pixels - pixels.new_tensor(point)).square().sum(-1).argmin())


def locations(offsets: Tensor, memory: ClipFeatures, token: int) -> Tensor:
    """Where a query samples, Eq. (1): its reference plus the offsets.

    Args:
        offsets: (M, R, L, P, 2) in cells of each level.
        memory: The encoder's output, for its geometry.
        token: Index of the query's token.

    Returns:
        (M, R, L, P, 2) as (x, y) in [0, 1] of the image without its padding.
    """
    reference = memory.reference_points[0, token, :, None].cpu()
    sizes = torch.tensor(memory.spatial_shapes).flip(-1)[:, None]
    return (reference + offsets / sizes) / memory.valid_ratios[0, :, None].cpu()


def plot(
    rows: Sequence[tuple[str, Sequence[np.ndarray], Hidden, Mapping[int, Samples]]],
) -> Figure:
    """Draw a row for each video: the hiding frame in the middle of its neighbours.

    Args:
        rows: Title, frames, hidden object and its samples by relative frame.
    """
    columns = max(len(samples) for *_, samples in rows)
    height, width = rows[0][1][0].shape[:2]
    size = (2.4 * columns, len(rows) * (0.4 + 2.4 * height / width))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for row, (title, frames, hidden, samples) in zip(axes, rows, strict=True):
        row[0].set_title(title, loc="left", fontsize=8)
        for ax, (relative, own) in zip(row, sorted(samples.items())):
            t = hidden.frame + relative
            ax.imshow(frames[t])
            ax.contour(hidden.masks[t], [0.5], colors="white", linewidths=0.8)
            _plot_samples(ax, own, "#ff8c00" if relative else "#40c4ff")
            ax.set_xlabel(f"frame {t}", fontsize=8)
            ax.set_xlim(-0.5, frames[t].shape[1] - 0.5)
            ax.set_ylim(frames[t].shape[0] - 0.5, -0.5)
            if relative == 0:
                x, y = hidden.middle
                ax.plot(x - 0.5, y - 0.5, "+", color="#ff1744", markersize=9)
        for ax in row:
            ax.set_xticks([])
            ax.set_yticks([])
    return figure


def _plot_samples(ax: Axes, samples: Samples, color: str) -> None:
    # imshow has the middle of the first pixel at 0, deformable attention at 0.5.
    x, y = samples.points.T - 0.5
    ax.scatter(x, y, s=400 * samples.weights, color=color, alpha=0.7, linewidths=0)


if __name__ == "__main__":
    main()
