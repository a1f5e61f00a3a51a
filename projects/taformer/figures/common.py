"""What the figure tools share: videos, models, and files that figures go to."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from mmdet.structures import TrackDataSample
from torch import nn

from mmtaformer.apis import inference_video, init_model
from mmtaformer.models.structures import ClipFeatures, DecoderLayerOutput
from mmtaformer.utils.files import atomic_path
from mmtaformer.utils.launch import UsageError
from mmtaformer.visualization import SheetClip, contact_sheet, read_frame

DPI = 200
Videos = Sequence[Mapping[str, Any]]


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that name ground truth and frames."""
    parser.add_argument("gt", help="ground truth in the official JSON format")
    parser.add_argument("--img-prefix", required=True, help="folder of the frames")


def add_video_arguments(
    parser: argparse.ArgumentParser, num_videos: int, with_frames: bool = True
) -> None:
    """Add the options that name ground truth, frames, and videos to show."""
    add_data_arguments(parser)
    add = parser.add_argument
    add(
        "--video-ids",
        type=int,
        nargs="+",
        metavar="ID",
        help=f"videos to show (default: {num_videos}, evenly spread over the file)",
    )
    if with_frames:
        add(
            "--num-frames",
            type=int,
            default=5,
            help="frames of each video, evenly spread over it (default: 5)",
        )
    parser.set_defaults(num_videos=num_videos)


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that name models."""
    parser.add_argument(
        "--model",
        nargs=3,
        action="append",
        required=True,
        metavar=("NAME", "CONFIG", "CHECKPOINT"),
        help="a model and what it is called in the figure; may be given repeatedly",
    )
    parser.add_argument("--device", help="default: what this machine has")


def add_out_argument(parser: argparse.ArgumentParser, default: str) -> None:
    """Add the option that names the files of a figure."""
    parser.add_argument(
        "--out",
        default=default,
        metavar="PREFIX",
        help=f"files to write, without .png and .pdf (default: {default})",
    )


def select_videos(
    ground_truth: Mapping[str, Any], video_ids: Sequence[int] | None, num_videos: int
) -> list[dict[str, Any]]:
    """Choose videos.

    Args:
        ground_truth: Content of the file.
        video_ids: Their ids, in the order in which they are shown; None for a choice.
        num_videos: How many to choose if no ids are given.

    Returns:
        Entries of ``videos``.

    Raises:
        UsageError: If there is no video of an id.
    """
    videos = {video["id"]: video for video in ground_truth["videos"]}
    if video_ids is None:
        return spread(list(videos.values()), num_videos)
    for video_id in video_ids:
        if video_id not in videos:
            raise UsageError(
                f"there is no video {video_id} in the ground truth; its {len(videos)} "
                f"videos have ids from {min(videos)} to {max(videos)}."
            )
    return [videos[video_id] for video_id in video_ids]


def spread(items: Sequence[Any], count: int) -> list[Any]:
    """Choose ``count`` items at most, evenly spread from the first to the last."""
    if count >= len(items):
        return list(items)
    return [items[round(i)] for i in np.linspace(0, len(items) - 1, count)]


def entries_of(
    entries: Sequence[Mapping[str, Any]] | None, video: Mapping[str, Any]
) -> list[Mapping[str, Any]]:
    """The annotations or results of a video."""
    return [entry for entry in entries or () if entry["video_id"] == video["id"]]


def read_video(video: Mapping[str, Any], img_prefix: str | Path) -> list[np.ndarray]:
    """Read the frames of a video: RGB, uint8, (H, W, 3)."""
    return [read_frame(Path(img_prefix) / name) for name in video["file_names"]]


def title_of(video: Mapping[str, Any]) -> str:
    """What stands above a video: its id, and its folder as YouTube-VIS calls it."""
    return f"video {video['id']} ({Path(video['file_names'][0]).parent.name})"


@dataclass(frozen=True)
class VideoOutput:
    """What a model computes on one video, where inference leaves it.

    Attributes:
        memory: Features of the last encoder layer, of one clip.
        output: Queries and boxes of the last decoder layer, of one clip.
        logits: (Q, classes) of the last layer.
    """

    memory: ClipFeatures
    output: DecoderLayerOutput
    logits: torch.Tensor


def load_models(
    models: Sequence[Sequence[str]], device: str | None, num_classes: int
) -> Iterator[tuple[str, nn.Module]]:
    """Load one model after the other.

    Args:
        models: Name, config and checkpoint of each.
        device: Where they run; None for what this machine has.
        num_classes: How many classes the data have.

    Yields:
        Name and model.

    Raises:
        UsageError: If a model has another number of classes.
    """
    for name, config, checkpoint in models:
        model = init_model(config, checkpoint, device=device)
        if model.bbox_head.num_classes != num_classes:
            raise UsageError(
                f"the ground truth has {num_classes} classes, but the model of "
                f"{config} has {model.bbox_head.num_classes}; give data with the "
                "classes that it was trained on."
            )
        yield name, model


def run_video(model: nn.Module, frames: Sequence[np.ndarray]) -> VideoOutput:
    """Run a model on one whole video, as testing does, and keep what is in between.

    Args:
        model: The model.
        frames: The T frames, see :func:`read_video`.
    """
    with kept_outputs(model) as seen, torch.inference_mode():
        predict(model, frames)
        output = seen["decoder"][-1]
        logits = model.bbox_head.cls_branches[-1](output.instance_query[0])
    return VideoOutput(seen["encoder"], output, logits)


def predict(model: nn.Module, frames: Sequence[np.ndarray]) -> TrackDataSample:
    """Find the instances of a video; see :func:`read_video` for its frames."""
    return inference_video(model, [frame[..., ::-1] for frame in frames])


@contextmanager
def kept_outputs(model: nn.Module) -> Iterator[dict[str, Any]]:
    """Keep what encoder and decoder return, by these names."""
    seen: dict[str, Any] = {}

    def keep(name: str) -> Any:
        return lambda module, inputs, output: seen.update({name: output})

    parts = {"encoder": model.encoder, "decoder": model.decoder}
    hooks = [part.register_forward_hook(keep(name)) for name, part in parts.items()]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def save_sheet(clips: Sequence[SheetClip], prefix: str | Path) -> tuple[Path, Path]:
    """Write rows of pictures to ``{prefix}.png`` and ``{prefix}.pdf``."""
    paths = file_names(prefix)
    for path in paths:
        contact_sheet(path, clips)
    return paths


def save_figure(figure: Figure, prefix: str | Path) -> tuple[Path, Path]:
    """Write ``{prefix}.png`` and ``{prefix}.pdf``; each appears when it is complete."""
    paths = file_names(prefix)
    for path in paths:
        with atomic_path(path) as partial:
            # Without a date the same figure is the same file.
            metadata = {"CreationDate": None} if path.suffix == ".pdf" else None
            figure.savefig(partial, dpi=DPI, metadata=metadata)
    return paths


def file_names(prefix: str | Path) -> tuple[Path, Path]:
    """A PNG and a PDF; a suffix ``.png`` or ``.pdf`` of the prefix is ignored."""
    prefix = Path(prefix)
    if prefix.suffix in (".png", ".pdf"):
        prefix = prefix.with_suffix("")
    return Path(f"{prefix}.png"), Path(f"{prefix}.pdf")


def heat_maps(maps: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Colour maps of numbers, (H, W) each, by one range; outliers of 1 % are cut off.

    Returns:
        RGB, uint8, (H, W, 3) each.
    """
    low, high = np.percentile(np.concatenate([m.ravel() for m in maps]), [1, 99])
    colors = matplotlib.colormaps["viridis"]
    scaled = [(m - low) / max(high - low, 1e-12) for m in maps]
    return [colors(m.clip(0, 1), bytes=True)[..., :3] for m in scaled]
