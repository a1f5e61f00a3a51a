"""Peak memory and speed of inference on videos of growing length.

Each line is measured in a process of its own, on generated frames that repeat::

    python tools/analysis_tools/video_memory.py \
        configs/taformer/taformer_r50_4xb4-6e_youtubevis2019.py --frames 300 1200
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import mmtaformer  # noqa: F401

# isort: split
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from mmtaformer.utils.benchmark import peak_memory
from mmtaformer.utils.launch import friendly_errors


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("config", help="config file, or name of a model")
    add("checkpoint", nargs="?", help="weights; random ones without")
    add("--frames", type=int, nargs="+", default=[300, 1200], help="lengths")
    add("--modes", nargs="+", choices=("whole", "online"), default=["online"])
    add("--size", type=int, nargs=2, default=(1280, 720), metavar=("W", "H"))
    add("--device", default="cpu")
    add("--amp", action="store_true")
    add("--one", nargs=3, metavar=("MODE", "COUNT", "VIDEO"), help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Print a table with a line per mode and length."""
    args = parse_args(argv)
    with friendly_errors():
        if args.one:
            mode, count, video = args.one
            print(json.dumps(measure(args, mode, int(count), Path(video))))
        else:
            print_table(args)


def print_table(args: argparse.Namespace) -> None:
    """Run each measurement in a process of its own."""
    from mmtaformer.visualization import write_video

    columns = ("mode", "frames", "peak GB", "frames/s", "beside the model", "tracks")
    table = Table(*columns)
    with tempfile.TemporaryDirectory() as folder:
        for count in args.frames:
            video = Path(folder) / f"{count}.mp4"
            write_video(video, repeated_frames(count, tuple(args.size)), fps=30)
            for mode in args.modes:
                found = _in_process(args, mode, count, video)
                table.add_row(
                    mode,
                    str(count),
                    f"{found['peak_gb']:.2f}",
                    f"{found['fps']:.2f}",
                    f"{found['other_percent']:.1f} %",
                    str(found["tracks"]),
                )
    Console().print(table)


def repeated_frames(count: int, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """Twelve generated frames of moving shapes, over and over, forth and back."""
    from mmtaformer.synthvis import SplitOptions, generate_video

    options = SplitOptions("val", 1, 12, size, 0, "easy")
    frames = [frame[..., ::-1] for frame in generate_video(options, 0).frames]
    cycle = frames + frames[::-1]
    for t in range(count):
        yield cycle[t % len(cycle)]


def measure(
    args: argparse.Namespace, mode: str, count: int, video: Path
) -> dict[str, Any]:
    """Track, write the drawn video and the results; time the model apart."""
    from mmtaformer.apis import VISInferencer

    # Random weights find nothing that is sure: all of it is tracked and drawn.
    linker = {"min_score": 0.0} if args.checkpoint is None else {}
    inferencer = VISInferencer(
        args.config, args.checkpoint, args.device, show_progress=False, linker=linker
    )
    model_seconds = 0.0
    step = inferencer.model.test_step

    def timed(batch: Any) -> Any:
        nonlocal model_seconds
        start = time.perf_counter()
        result = step(batch)
        model_seconds += time.perf_counter() - start
        return result

    inferencer.model.test_step = timed
    start = time.perf_counter()
    result = inferencer(
        str(video),
        mode=mode,
        amp=args.amp,
        pred_score_thr=0.0 if args.checkpoint is None else 0.3,
        out_dir=video.parent / f"out_{mode}",
    )
    seconds = time.perf_counter() - start
    return {
        "peak_gb": peak_memory(torch.device("cpu")) / 1e9,
        "fps": count / seconds,
        "other_percent": 100 * (seconds - model_seconds) / model_seconds,
        "tracks": len(result),
    }


def _in_process(
    args: argparse.Namespace, mode: str, count: int, video: Path
) -> dict[str, Any]:
    command = [sys.executable, __file__, args.config]
    command += [args.checkpoint] if args.checkpoint else []
    command += ["--device", args.device, *(["--amp"] if args.amp else [])]
    command += ["--one", mode, str(count), str(video)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(output.stdout.strip().splitlines()[-1])


if __name__ == "__main__":
    main()
