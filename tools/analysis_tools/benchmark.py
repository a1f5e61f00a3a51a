"""Measure speed and memory against references, in one run.

Operator: the fused operator against mmcv's PyTorch fallback. Model: TAFormer and
SeqFormer against mmdet's Mask2Former-VIS with the same backbone. Weights are random.
Every case runs in a process of its own, which its peak memory belongs to.
"""

import argparse
import copy
import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from mmdet.structures import DetDataSample, TrackDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from rich.console import Console
from rich.table import Table

from mmtaformer.apis import fuse_for_inference, init_model
from mmtaformer.utils.allocator import keep_freed_memory
from mmtaformer.utils.benchmark import measure
from mmtaformer.utils.files import atomic_path

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
MODEL_CONFIGS = {
    "taformer": CONFIGS / "taformer/taformer_r50_4xb4-6e_youtubevis2019.py",
    "seqformer": CONFIGS / "seqformer/seqformer_r50_4xb4-6e_youtubevis2019.py",
    "mask2former": "mmdet::mask2former_vis/mask2former_r50_8xb2-8e_youtubevis2019.py",
}
OWN_MODELS = ("taformer", "seqformer")


def load_config(name: str) -> Config:
    """The config of a model, without weights to download."""
    path = MODEL_CONFIGS[name]
    config = Config.fromfile(path) if isinstance(path, Path) else get_config(path)
    config.model.init_cfg = None
    return config


def video_sample(num_frames: int, size: tuple[int, int], num_instances: int):
    """A video of ``num_frames`` with ``num_instances`` rectangles that move."""
    height, width = size
    frames = []
    for t in range(num_frames):
        boxes = [
            [8.0 + 9 * n + t, 6.0 + 7 * n, 8.0 + 9 * n + t + width / 4, height / 2]
            for n in range(num_instances)
        ]
        masks = np.zeros((num_instances, height, width), np.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
            mask[int(y1) : int(y2), int(x1) : int(x2)] = 1
        frame = DetDataSample(
            metainfo=dict(
                img_shape=size,
                ori_shape=size,
                pad_shape=size,
                batch_input_shape=size,
                frame_id=t,
                video_id=0,
            )
        )
        frame.gt_instances = InstanceData(
            bboxes=torch.tensor(boxes).reshape(-1, 4),
            labels=torch.arange(num_instances),
            instances_ids=torch.arange(num_instances),
            masks=BitmapMasks(masks, height, width),
        )
        frames.append(frame)
    sample = TrackDataSample(
        metainfo=dict(key_frames_inds=[0], ref_frames_inds=[*range(1, num_frames)])
    )
    sample.video_data_samples = frames
    return sample


def compile_parts(network: torch.nn.Module) -> None:
    """Have `torch.compile` make one graph each of encoder and decoder, when called."""
    network.encoder.compile()
    network.decoder.compile()


def inference_work(
    model: str, frames: int, size, device: str, dtype: str, compiled: bool = False
) -> Callable:
    """Prediction of one whole video."""
    network = init_model(load_config(model), device=device)
    if model in OWN_MODELS:  # as VISInferencer does
        fuse_for_inference(network)
    if compiled:
        compile_parts(network)
    video = torch.randn(1, frames, 3, *size, device=device)
    half = dtype != "float32"

    @torch.no_grad()
    def work() -> None:
        with torch.autocast(
            torch.device(device).type, getattr(torch, dtype), enabled=half
        ):
            network.predict(video, [video_sample(frames, size, 0)])

    return work


def train_work(
    model: str,
    frames: int,
    size,
    device: str,
    dtype: str,
    recompute: bool = False,
    recompute_backbone: bool = True,
    clips: int = 1,
    instances: int = 4,
    compiled: bool = False,
) -> Callable:
    """One training step on clips with some instances each."""
    config = load_config(model)
    if recompute:
        config.model.encoder.with_cp = config.model.decoder.with_cp = True
        config.model.backbone.with_cp = recompute_backbone
    if model == "mask2former":
        config.model.track_head.num_frames = frames
    network = init_model(config, device=device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-5)
    if compiled:
        compile_parts(network)
    batch = torch.randn(clips, frames, 3, *size, device=device)
    samples = [video_sample(frames, size, instances) for _ in range(clips)]
    half = dtype != "float32"

    def work() -> None:
        with torch.autocast(
            torch.device(device).type, getattr(torch, dtype), enabled=half
        ):
            # Mask2Former-VIS leaves its own form of the masks in the samples.
            losses = network.loss(batch, copy.deepcopy(samples))
            total = network.parse_losses(losses)[0]
        optimizer.zero_grad()
        total.backward()
        optimizer.step()

    return work


def operator_work(name: str, backward: bool, size, device: str) -> Callable:
    """Deformable attention of one frame: softmax, locations and sampling."""
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

    from mmtaformer.ops import spatio_temporal_deformable_attention

    height, width = size
    shapes = [(-(-height // s), -(-width // s)) for s in (8, 16, 32, 64)]
    tokens = sum(h * w for h, w in shapes)
    value = torch.randn(1, 1, tokens, 8, 32, device=device)
    offsets = 3 * torch.randn(1, 1, tokens, 8, 1, 4, 4, 2, device=device)
    logits = torch.randn(1, 1, tokens, 8, 1, 4, 4, device=device)
    references = torch.rand(1, 1, tokens, 1, 2, device=device).expand(-1, -1, -1, 4, -1)
    for tensor in (value, offsets, logits):
        tensor.requires_grad_(backward)
    sizes = torch.tensor(shapes, device=device)

    def fallback() -> torch.Tensor:
        locations = references[0, :, :, None, :, None] + offsets[
            0, :, :, :, 0
        ] / sizes.flip(1).view(4, 1, 2)
        weights = logits[0, :, :, :, 0].flatten(-2).softmax(-1).unflatten(-1, (4, 4))
        return multi_scale_deformable_attn_pytorch(value[0], sizes, locations, weights)

    def fused() -> torch.Tensor:
        return spatio_temporal_deformable_attention(
            value, shapes, references, offsets, logits, (0,)
        )

    forward = fused if name == "fused" else fallback

    def work() -> torch.Tensor:
        output = forward()
        if backward:
            output.sum().backward()
        return output.detach()

    return work


def build_work(case: dict) -> Callable:
    """The work that a case describes."""
    init_default_scope("mmdet")
    case = dict(case)
    kind = case.pop("kind")
    builders = {
        "operator": operator_work,
        "inference": inference_work,
        "train": train_work,
    }
    return builders[kind](**case)


def list_cases(args: argparse.Namespace) -> list[dict]:
    """All cases in the order of the table.

    Returns:
        list[dict]: Each with ``row`` and ``name`` in the table, the ``reference`` it is
        compared with as (row, name), the ``frames`` by which times are divided for
        that, ``runs``, ``warmup`` and the ``case`` itself, see :func:`build_work`.
    """
    rows: list[dict] = []

    def add(row: str, label: str, reference: tuple[str, str], **case) -> None:
        frames = case.get("frames", 1)
        entry = dict(row=row, name=label, reference=reference, frames=frames)
        rows.append(dict(entry, runs=args.runs, warmup=args.warmup, case=case))

    if "operator" in args.what:
        common = dict(kind="operator", size=args.size, device=args.device)
        for backward in (False, True):
            row = "operator, forward" + (" and backward" if backward else "")
            for name in ("fallback", "fused"):
                case = dict(common, backward=backward, name=name)
                add(row, name, (row, "fallback"), **case)
    for kind, lengths, size in (
        ("inference", [*args.frames, *args.long_frames], args.size),
        ("train", [5], args.train_size),
    ):
        if kind not in args.what:
            continue
        common = dict(kind=kind, size=size, device=args.device)
        for frames, dtype, model in itertools.product(
            lengths, args.dtypes, args.models
        ):
            titles = {n: f"{kind}, {n} x {size[0]}x{size[1]}, {dtype}" for n in lengths}
            case = dict(common, model=model, frames=frames, dtype=dtype)
            if kind == "inference" and frames in args.long_frames:
                if model in OWN_MODELS:
                    reference = (titles[max(args.frames)], model)
                    add(titles[frames], model, reference, **case)
                    rows[-1].update(runs=1, warmup=0)
                continue
            reference = (titles[frames], "mask2former")
            add(titles[frames], model, reference, **case)
            if model not in OWN_MODELS:
                continue
            if kind == "train":
                name = f"{model}, recomputing"
                add(titles[frames], name, reference, **case, recompute=True)
            if args.compile:
                name = f"{model}, compiled"
                add(titles[frames], name, reference, **case, compiled=True)
    return rows


def run_case(case: dict, runs: int, warmup: int, device: str) -> dict:
    """Measure a case in a process of its own."""
    command = [sys.executable, __file__, "--case", json.dumps(case)]
    command += ["--runs", str(runs), "--warmup", str(warmup), "--device", device]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f"{case} failed:\n{result.stderr[-3000:]}")
    return json.loads(result.stdout.splitlines()[-1])


def add_ratios(rows: list[dict]) -> None:
    """Add to every row its time per frame and memory over those of its reference."""
    measured = {(row["row"], row["name"]): row for row in rows}
    for row in rows:
        reference = measured.get(row["reference"])
        if reference is None:  # not asked for
            row["reference"] = None
            continue
        seconds = reference["seconds"] * row["frames"]
        row["time_ratio"] = row["seconds"] * reference["frames"] / seconds
        row["memory_ratio"] = row["memory_gb"] / reference["memory_gb"]


def describe_reference(row: dict) -> str:
    """What a row is compared with, as the table says it."""
    if row["reference"] is None:
        return "-"
    title, name = row["reference"]
    return name if title == row["row"] else f"a frame of {title}"


def print_table(rows: list[dict]) -> None:
    """Print all rows."""
    table = Table(title=f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    for column in ("what", "", "time", "memory", "time ratio", "memory ratio", "to"):
        left = column in ("what", "", "to")
        table.add_column(column, justify="left" if left else "right")
    for row in rows:
        ratios = [
            f"{row[key]:.3f}" if key in row else "-"
            for key in ("time_ratio", "memory_ratio")
        ]
        table.add_row(
            row["row"],
            row["name"],
            f"{1000 * row['seconds']:,.1f} ms",
            f"{row['memory_gb']:.2f} GB",
            *ratios,
            describe_reference(row),
        )
    Console(width=150).print(table)


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    kinds = ["operator", "inference", "train"]
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--what", nargs="+", choices=kinds, default=kinds)
    models = list(MODEL_CONFIGS)
    add("--models", nargs="+", choices=models, default=models)
    add("--frames", nargs="+", type=int, default=[10, 20], help="lengths of videos")
    add(
        "--long-frames",
        nargs="*",
        type=int,
        default=[],
        help="lengths at which only this project's models predict, once and without "
        "warm-up, compared per frame with the longest of --frames",
    )
    add("--size", nargs=2, type=int, default=[360, 640], metavar=("H", "W"))
    add("--train-size", nargs=2, type=int, default=[320, 576], metavar=("H", "W"))
    dtypes = ["float32", "bfloat16"]
    add("--dtypes", nargs="+", choices=dtypes, default=dtypes[:1])
    add(
        "--compile",
        action="store_true",
        help="add the models of this project with encoder and decoder compiled by "
        "torch.compile; the warm-up compiles",
    )
    add("--runs", type=int, default=5, help="runs that count")
    add("--warmup", type=int, default=1, help="runs before them")
    add("--device", default="cpu", help="cpu or cuda")
    add("--json", help="where to write all figures")
    add("--case", type=json.loads, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure what the command line asks for."""
    args = parse_args(argv)
    if args.case:
        if args.device == "cpu":  # as tools/train.py and VISInferencer do
            keep_freed_memory()
        work = build_work(args.case)
        measured = measure(work, args.device, args.runs, args.warmup)
        print(json.dumps(asdict(measured)))
        return
    rows = list_cases(args)
    for row in rows:
        print(f"{row['row']}, {row['name']}: ", end="", flush=True)
        case, runs, warmup = (row.pop(key) for key in ("case", "runs", "warmup"))
        row.update(run_case(case, runs, warmup, args.device))
        print(f"{row['seconds']:.3f} s, {row['memory_gb']:.2f} GB", flush=True)
    add_ratios(rows)
    print_table(rows)
    if args.json:
        with atomic_path(args.json) as path:
            Path(path).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
