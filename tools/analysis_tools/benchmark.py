"""Measure speed and memory against references, in one run.

Operator: the fused operator against mmcv's PyTorch fallback. Model: TAFormer and
SeqFormer against mmdet's Mask2Former-VIS with the same backbone. Weights are random.
Every case runs in a process of its own, which its peak memory belongs to.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample, TrackDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from rich.console import Console
from rich.table import Table

import mmtaformer  # noqa: F401
from mmtaformer.evaluation.ytvis_files import atomic_path
from mmtaformer.utils.benchmark import measure

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
MODEL_CONFIGS = {
    "taformer": CONFIGS / "taformer/taformer_r50_4xb4-6e_youtubevis2019.py",
    "seqformer": CONFIGS / "seqformer/seqformer_r50_4xb4-6e_youtubevis2019.py",
    "mask2former": "mmdet::mask2former_vis/mask2former_r50_8xb2-8e_youtubevis2019.py",
}
REFERENCES = {"operator": "fallback", "default": "mask2former"}


def load_config(name: str) -> Config:
    """The config of a model, without weights to download."""
    path = MODEL_CONFIGS[name]
    config = Config.fromfile(path) if isinstance(path, Path) else get_config(path)
    config.model.backbone.init_cfg = None
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


def inference_work(model: str, frames: int, size, device: str, dtype: str) -> Callable:
    """Prediction of one whole video."""
    network = MODELS.build(load_config(model).model).to(device).eval()
    video = torch.randn(1, frames, 3, *size, device=device)
    half = dtype != "float32"

    @torch.no_grad()
    def work() -> None:
        with torch.autocast(device, getattr(torch, dtype), enabled=half):
            network.predict(video, [video_sample(frames, size, 0)])

    return work


def train_work(model: str, frames: int, size, device: str, dtype: str) -> Callable:
    """One training step on one clip with four instances."""
    config = load_config(model)
    if model == "mask2former":
        config.model.track_head.num_frames = frames
    network = MODELS.build(config.model).to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-5)
    clip = torch.randn(1, frames, 3, *size, device=device)
    half = dtype != "float32"

    def work() -> None:
        with torch.autocast(device, getattr(torch, dtype), enabled=half):
            losses = network.loss(clip, [video_sample(frames, size, 4)])
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

    def work() -> None:
        output = forward()
        if backward:
            output.sum().backward()

    return work


def data_work(config_path: str, num_workers: int) -> Callable:
    """Loading 20 batches of the training data."""
    from mmengine.runner import Runner

    config = Config.fromfile(config_path)
    config.train_dataloader.num_workers = num_workers
    config.train_dataloader.persistent_workers = False
    loader = Runner.build_dataloader(config.train_dataloader, seed=0)

    def work() -> None:
        for _, _batch in zip(range(20), loader, strict=False):
            pass

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
        "data": data_work,
    }
    return builders[kind](**case)


def list_cases(args: argparse.Namespace) -> list[dict]:
    """Groups of cases that are measured in turn, as (row, name, case)."""
    rows: list[dict] = []

    def add(row: str, name: str, **case) -> None:
        rows.append(dict(row=row, name=name, case=case))

    if "operator" in args.what:
        for backward in (False, True):
            row = "operator, forward" + (" and backward" if backward else "")
            for name in ("fallback", "fused"):
                add(
                    row,
                    name,
                    kind="operator",
                    backward=backward,
                    size=args.size,
                    device=args.device,
                    **{"name": name},
                )
    for kind, lengths, size in (
        ("inference", args.frames, args.size),
        ("train", [5], args.train_size),
    ):
        if kind not in args.what:
            continue
        for frames in lengths:
            for dtype in args.dtypes:
                for model in args.models:
                    add(
                        f"{kind}, {frames} x {size[0]}x{size[1]}, {dtype}",
                        model,
                        kind=kind,
                        model=model,
                        frames=frames,
                        size=size,
                        device=args.device,
                        dtype=dtype,
                    )
    if "data" in args.what:
        for workers in (0, 2):
            add(
                f"data, 20 batches, {workers} workers",
                Path(args.data_config).stem,
                kind="data",
                config_path=args.data_config,
                num_workers=workers,
            )
    return rows


def run_case(case: dict, runs: int, device: str) -> dict:
    """Measure a case in a process of its own."""
    command = [sys.executable, __file__, "--case", json.dumps(case)]
    command += ["--runs", str(runs), "--device", device]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f"{case} failed:\n{result.stderr[-3000:]}")
    return json.loads(result.stdout.splitlines()[-1])


def add_ratios(rows: list[dict]) -> None:
    """Add to every row its time and memory over those of its reference."""
    references = {row["row"]: row for row in rows if row["name"] in REFERENCES.values()}
    for row in rows:
        reference = references.get(row["row"])
        if reference:
            row["time_ratio"] = row["seconds"] / reference["seconds"]
            row["memory_ratio"] = row["memory_gb"] / reference["memory_gb"]
            row["reference"] = reference["name"]


def print_table(rows: list[dict]) -> None:
    """Print all rows."""
    table = Table(title=f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    for column in ("what", "", "time", "memory", "time ratio", "memory ratio"):
        table.add_column(column, justify="left" if column in ("what", "") else "right")
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
        )
    Console(width=120).print(table)


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    kinds = ["operator", "inference", "train", "data"]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--what", nargs="+", choices=kinds, default=kinds[:3])
    parser.add_argument(
        "--models", nargs="+", choices=list(MODEL_CONFIGS), default=list(MODEL_CONFIGS)
    )
    parser.add_argument("--frames", nargs="+", type=int, default=[5, 10, 20])
    parser.add_argument("--size", nargs=2, type=int, default=[360, 640])
    parser.add_argument("--train-size", nargs=2, type=int, default=[320, 576])
    parser.add_argument(
        "--dtypes", nargs="+", choices=["float32", "bfloat16"], default=["float32"]
    )
    parser.add_argument("--runs", type=int, default=5, help="runs that count")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--data-config", default=str(CONFIGS / "taformer/taformer_tiny_synthvis.py")
    )
    parser.add_argument("--json", help="where to write all figures")
    parser.add_argument("--case", type=json.loads, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure what the command line asks for."""
    args = parse_args(argv)
    if args.case:
        measured = measure(build_work(args.case), args.device, args.runs)
        print(json.dumps(asdict(measured)))
        return
    rows = list_cases(args)
    for row in rows:
        print(f"measuring {row['row']}: {row['name']}", flush=True)
        row.update(run_case(row.pop("case"), args.runs, args.device))
    add_ratios(rows)
    print_table(rows)
    if args.json:
        with atomic_path(args.json) as path:
            Path(path).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
