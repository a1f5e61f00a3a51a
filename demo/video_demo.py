"""Find and track the instances of a video.

Examples::

    python demo/video_demo.py demo/cells.mp4 --out-dir out
    python demo/video_demo.py my.mp4 CONFIG CHECKPOINT --out-dir out
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

# The package first: it says in one sentence what is missing to run it.
import mmtaformer  # noqa: F401

# isort: split
from mmtaformer.utils.launch import friendly_errors

DEFAULT_MODEL = "taformer_tiny_cells"


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description="Find and track the instances of a video: OUT_DIR/vis/NAME.mp4 "
        "shows them, OUT_DIR/preds/NAME.json has them in the official results format.",
    )
    add = parser.add_argument
    add("video", help="video file, folder of images, 'frames/*.jpg', or camera number")
    add("config", nargs="?", default=DEFAULT_MODEL, help="config, or name of a model")
    add("checkpoint", nargs="?", help="weights, .pth or .safetensors")
    add("--out-dir", type=Path, default=Path("out"), help="folder of what is written")
    add("--mode", choices=("auto", "whole", "online"), default="auto")
    add("--score-thr", type=float, default=0.3, help="lowest score that is drawn")
    add("--start", type=float, default=0.0, help="first second that is used")
    add("--end", type=float, help="second before which the video ends")
    add("--stride", type=int, default=1, help="use every how many frames")
    add("--fps", type=float, help="use so many frames a second")
    add("--clip-length", type=int, default=10, help="frames of a clip, online mode")
    add("--overlap", type=int, default=3, help="frames that two clips share")
    add("--no-cuts", action="store_true", help="let tracks go on over cuts")
    add("--trail", type=int, default=0, help="draw the way over so many frames")
    add("--device", help="cuda, mps or cpu; the best one there is by default")
    add("--amp", action="store_true", help="half precision")
    add("--resume", action="store_true", help="go on with an interrupted run")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Track the video of the command line."""
    args = parse_args(argv)
    with friendly_errors():
        run(args)


def run(args: argparse.Namespace) -> None:
    """Track, write and say what was found and where it is."""
    from mmtaformer.apis import VISInferencer

    inferencer = VISInferencer(args.config, args.checkpoint, args.device)
    camera = args.video.isdigit() and not Path(args.video).exists()
    result = inferencer(
        int(args.video) if camera else args.video,
        mode=args.mode,
        start=args.start,
        end=args.end,
        stride=args.stride,
        fps=args.fps,
        clip_length=args.clip_length,
        overlap=args.overlap,
        detect_cuts=not args.no_cuts,
        amp=args.amp,
        pred_score_thr=args.score_thr,
        trail=args.trail,
        out_dir=args.out_dir,
        resume=args.resume,
    )
    print(result)
    name = result.info.name
    print(
        f"{args.out_dir / 'vis' / name}.mp4 shows them, "
        f"{args.out_dir / 'preds' / name}.json has them."
    )


if __name__ == "__main__":
    main()
