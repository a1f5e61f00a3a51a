"""Train decoder and head alone, on features that are given, and see who uses time.

Backbone and encoder are left out. The features say, near an object, where its middle is
and, in some frames only, what is asked: that it is there at all (task ``hidden``), or
which of two look-alikes it is (task ``twins``). So whatever a box is worth where its
frame does not say it, the decoder has taken from other frames.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_overlaps
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope
from rich.live import Live
from rich.table import Table
from torch import Tensor

from mmtaformer.apis.inference import quiet
from mmtaformer.evaluation.own_frames import only_own_frames
from mmtaformer.models.heads.clip_targets import ClipTargets
from mmtaformer.models.layers import TemporalSelfAttention
from mmtaformer.models.structures import ClipFeatures
from mmtaformer.utils.launch import friendly_errors, require_file
from mmtaformer.utils.launch.options import check_options

from .paper import ROOT

CONFIG = ROOT / "configs/taformer/taformer_tiny_synthvis-identity.py"
HEIGHT, WIDTH, STRIDE = 8, 12, 8  # tokens of a frame, and pixels between them
VIDEO = 12  # frames of a video
CLIP = 5  # frames of a clip in training
OBJECT = (0.2, 0.3)  # width and height in parts of the image
TASKS = ("hidden", "twins")


@dataclass(frozen=True)
class Clips:
    """Clips and what is to be found in them.

    Attributes:
        signals: (B, T, S, 5) what tokens say: x and y to the middle of the object
            there, whether one is there, whether it is the first, the second.
        centres: (B, T, n, 2) in [0, 1].
        shown: (B, T) bool, whether the frame says what is asked.
        frame_ids: (B, T) index of each frame in its video.
    """

    signals: Tensor
    centres: Tensor
    shown: Tensor
    frame_ids: Tensor

    @property
    def boxes(self) -> Tensor:
        """(B, T, n, 4) cxcywh in [0, 1]."""
        size = self.centres.new_tensor(OBJECT).expand_as(self.centres)
        return torch.cat([self.centres, size], dim=-1)

    def select(self, frames: Tensor) -> "Clips":
        """Frames (B, T) of each clip, by index."""
        rows = torch.arange(len(frames))[:, None]
        parts = (self.signals, self.centres, self.shown, self.frame_ids)
        return Clips(*(part[rows, frames] for part in parts))


def make_videos(task: str, count: int, rng: np.random.Generator) -> Clips:
    """Generate videos of :data:`VIDEO` frames.

    Args:
        task: ``hidden``: one object on a straight line, there in runs of one to three
            frames, then not for one or two. ``twins``: two that pass each other; one
            frame of three says which is which.
        count: B.
        rng: Source of all chance.
    """
    time = np.arange(VIDEO)
    angle = rng.uniform(0, 2 * np.pi, (count, 1))
    way = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    if task == "twins":
        meeting = rng.uniform(0, VIDEO - 1, (count, 1))
        passed = 0.06 * (time - meeting)[..., None] * way
        passed += 0.06 * np.stack([-np.sin(angle), np.cos(angle)], axis=-1)
        middle = rng.uniform(0.3, 0.7, (count, 1, 1, 2))
        centres = middle + np.stack([passed, -passed], axis=2)
        shown = (time + rng.integers(3, size=(count, 1))) % 3 == 0
    else:
        speed = rng.uniform(0.03, 0.09, (count, 1, 1))
        start = rng.uniform(0, 1, (count, 1, 2))
        centres = (start + speed * time[None, :, None] * way)[:, :, None]
        shown = np.stack([_runs(rng) for _ in range(count)])
    # Objects turn back at the border.
    centres = 0.15 + 0.7 * np.abs((centres + 1) % 2 - 1)
    ids = np.broadcast_to(time, (count, VIDEO))
    return Clips(
        signals=_signals(task, centres, shown),
        centres=torch.tensor(centres, dtype=torch.float32),
        shown=torch.tensor(shown),
        frame_ids=torch.tensor(ids),
    )


def _runs(rng: np.random.Generator) -> np.ndarray:
    """(VIDEO,) bool: one to three frames with the object, one or two without."""
    frames: list[bool] = []
    while len(frames) < 2 * VIDEO:
        frames += [True] * rng.integers(1, 4) + [False] * rng.integers(1, 3)
    first = rng.integers(VIDEO)
    return np.array(frames[first : first + VIDEO])


def _signals(task: str, centres: np.ndarray, shown: np.ndarray) -> Tensor:
    """(B, T, S, 5) what tokens say of the objects near them, see :class:`Clips`."""
    y, x = np.indices((HEIGHT, WIDTH)).reshape(2, -1)
    grid = np.stack([(x + 0.5) / WIDTH, (y + 0.5) / HEIGHT], axis=-1)
    away = grid - centres[..., None, :]  # (B, T, n, S, 2)
    near = np.exp(-((away * (WIDTH / HEIGHT, 1)) ** 2).sum(axis=-1) / 0.03)
    signals = np.zeros((*near.shape[:2], near.shape[-1], 5))
    signals[..., :2] = 6 * (near[..., None] * away).sum(axis=2)
    signals[..., 2] = near.sum(axis=2)
    if task == "twins":
        signals[..., 3:] = near.swapaxes(2, 3) * shown[..., None, None]
    else:
        signals *= shown[..., None, None]
    return torch.tensor(signals, dtype=torch.float32)


def training_frames(count: int, rng: np.random.Generator) -> Tensor:
    """(B, CLIP) frames of a video: half of the clips in a row, the others spread."""
    frames = []
    for _ in range(count):
        if rng.random() < 0.5:
            frames.append(rng.integers(VIDEO - CLIP + 1) + np.arange(CLIP))
        else:
            frames.append(np.sort(rng.choice(VIDEO, CLIP, replace=False)))
    return torch.tensor(np.stack(frames))


class Trial:
    """A decoder with its head, and the features that it is trained on.

    Args:
        config: Config of a small TAFormer.
        task: One of :data:`TASKS`.
        seed: Of the weights, the videos and the noise.
    """

    def __init__(self, config: Config, task: str, seed: int) -> None:
        self.task = task
        self.rng = np.random.default_rng(seed)
        torch.manual_seed(seed)
        self.model = MODELS.build(config.model)
        self.model.init_weights()
        unused = ("backbone", "neck", "encoder")
        self.parameters = [
            parameter
            for name, parameter in self.model.named_parameters()
            if not name.startswith(unused)
        ]
        channels = self.model.decoder.embed_dims
        self.code = torch.randn(5, channels, generator=torch.Generator().manual_seed(0))

    def memory(self, clips: Clips, rng: np.random.Generator) -> ClipFeatures:
        """What the decoder reads: the signals among noise."""
        tokens = clips.signals @ self.code
        noise = rng.standard_normal(tokens.shape, dtype=np.float32)
        tokens = tokens + 0.3 * torch.from_numpy(noise)
        return self.model.embed(tokens, ((HEIGHT, WIDTH),), frame_ids=clips.frame_ids)

    def loss(self, clips: Clips) -> Tensor:
        """Sum of all losses of the head."""
        memory = self.memory(clips, self.rng)
        head = self.model.bbox_head
        features = head.mask_head.mask_features(memory)
        targets = [
            ClipTargets(
                labels=torch.arange(boxes.size(1)),
                boxes=boxes.transpose(0, 1),
                masks=draw_ellipses(boxes.transpose(0, 1)),
                present=torch.ones(boxes.shape[1::-1], dtype=torch.bool),
            )
            for boxes in clips.boxes
        ]
        size = features.new_tensor([WIDTH * STRIDE, HEIGHT * STRIDE])
        losses: list[Tensor] = []
        for layer, output in enumerate(self.model.decode(memory)):
            losses += head.loss_by_layer(
                layer,
                output,
                features=features,
                image_sizes=size.expand(len(targets), 2),
                targets=targets,
                num_instances=float(sum(map(len, targets))),
            ).values()
        return torch.stack(losses).sum()

    def train(self, steps: int, batch: int = 5) -> None:
        """Train as the small configs are trained: AdamW, one cycle, clipped at 1."""
        optimizer = torch.optim.AdamW(self.parameters, lr=2e-3, weight_decay=1e-4)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, 2e-3, total_steps=steps, pct_start=0.1
        )
        for _ in range(steps):
            videos = make_videos(self.task, batch, self.rng)
            loss = self.loss(videos.select(training_frames(batch, self.rng)))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
            optimizer.step()
            schedule.step()

    @torch.no_grad()
    def test(self, count: int = 256) -> tuple[float, float]:
        """Mean IoU of boxes in whole videos, in percent.

        Args:
            count: How many videos; they are the same for all trials of a task.

        Returns:
            Where the frame says what is asked, and where it does not. The boxes of an
            object are those of the query with the best score for its class.
        """
        rng = np.random.default_rng(10**6)
        clips = make_videos(self.task, count, rng)
        output = self.model.decode(self.memory(clips, rng), last_only=True)[-1]
        scores = self.model.bbox_head.cls_branches[-1](output.instance_query)
        best = scores[..., : clips.boxes.size(2)].argmax(dim=1)
        index = best[:, None, :, None].expand(-1, VIDEO, -1, 4)
        ious = bbox_overlaps(
            bbox_cxcywh_to_xyxy(output.boxes.gather(2, index)).flatten(0, 2),
            bbox_cxcywh_to_xyxy(clips.boxes).flatten(0, 2),
            is_aligned=True,
        ).view(clips.boxes.shape[:3])
        shown = clips.shown
        return 100 * ious[shown].mean().item(), 100 * ious[~shown].mean().item()


def draw_ellipses(boxes: Tensor) -> Tensor:
    """(..., h, w) masks of objects that fill their boxes (..., 4), at stride 4."""
    size = (2 * HEIGHT, 2 * WIDTH)
    y, x = ((torch.arange(n) + 0.5) / n for n in size)
    cx, cy, w, h = (part[..., None, None] for part in boxes.unbind(-1))
    inside = ((x - cx) / (w / 2)) ** 2 + ((y[:, None] - cy) / (h / 2)) ** 2 <= 1
    return inside.float()


def read_config(path: str, num_queries: int, options: dict | None = None) -> Config:
    """The config of a small TAFormer, for one level of features and as many queries."""
    require_file(path, "config")
    config = Config.fromfile(path)
    check_options(config, options or {})
    config.merge_from_dict(
        {
            "model.num_queries": num_queries,
            "model.num_feature_levels": 1,
            "model.backbone.num_stages": 2,
            "model.backbone.out_indices": (1,),
            "model.backbone.strides": (1, 2),
            "model.backbone.dilations": (1, 1),
            "model.bbox_head.mask_head.num_levels": 1,
            "model.bbox_head.mask_head.stride": STRIDE,
            **(options or {}),
        }
    )
    return config


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m projects.taformer.decoder_alone",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--tasks", nargs="+", choices=TASKS, default=TASKS, help="default: both")
    add("--queries", type=int, nargs="+", default=[2, 20], help="default: 2 20")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default: 0 1 2")
    add("--steps", type=int, default=1152, help="of five clips (default: 1152)")
    add("--config", default=str(CONFIG), help="small TAFormer (default: %(default)s)")
    add(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="values of the config that are replaced",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table that the command line asks for."""
    args = parse_args(argv)
    init_default_scope("mmdet")
    table = Table(
        *("task", "queries", "seed", "shown", "not shown", "copies"),
        title="IoU of boxes, where a frame shows\nwhat is asked and where it does not",
    )
    # Quiet, or mmengine names every parameter of every model.
    with friendly_errors(), quiet():
        configs = {
            queries: read_config(args.config, queries, args.cfg_options)
            for queries in args.queries
        }
        with Live(table):  # rows appear as trials end
            for cells in run_trials(args, configs):
                table.add_row(*cells)
        print()


def run_trials(
    args: argparse.Namespace, configs: Mapping[int, Config]
) -> Iterator[tuple[str, ...]]:
    """Train and test one after the other; the table's rows.

    Args:
        args: The command line.
        configs: By number of queries.
    """
    for task in args.tasks:
        for queries, config in configs.items():
            for seed in args.seeds:
                trial = Trial(config, task, seed)
                trial.train(args.steps)
                shown, hidden = trial.test()
                with only_own_frames(trial.model, (TemporalSelfAttention,)):
                    _, copies = trial.test()
                figures = (f"{x:.1f}" for x in (shown, hidden, copies))
                yield task, str(queries), str(seed), *figures


if __name__ == "__main__":
    main()
