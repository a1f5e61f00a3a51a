"""Clips per second of this package's data loading and of mmdet's, in one run.

Both load clips of five frames from the same generated videos with the same transforms,
once resized as for the paper's training, once to the 160 x 96 pixels of the small
configs. They take turns, and medians are compared::

    python tools/analysis_tools/benchmark_loading.py --workers 2
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mmtaformer  # noqa: F401

# isort: split
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from mmtaformer.synthvis import write_synthvis
from mmtaformer.utils.launch import friendly_errors

NUM_FRAMES = 5
SMALL = (160, 96)
# What follows the loading, by the name of its row.
RESIZING = {
    "288 to 512 pixels": dict(
        type="RandomChoiceResize",
        scales=[(768, short) for short in range(288, 513, 32)],
        keep_ratio=True,
    ),
    "160 x 96 pixels": dict(type="Resize", scale=SMALL, keep_ratio=True),
}


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--workers", type=int, default=2, help="processes that load")
    add("--batch-size", type=int, default=4, help="clips of a batch")
    add("--videos", type=int, default=6, help="videos of 20 frames to generate")
    add("--size", type=int, nargs=2, default=(1280, 720), metavar=("W", "H"))
    add("--runs", type=int, default=5, help="how often each is timed")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Generate videos, time both loaders, and print a table."""
    args = parse_args(argv)
    init_default_scope("mmdet")
    with friendly_errors(), tempfile.TemporaryDirectory() as folder:
        write_videos(Path(folder), args.videos, tuple(args.size))
        print_table(args, Path(folder))


def write_videos(folder: Path, count: int, size: tuple[int, int]) -> None:
    """Write ``train.json`` for this package, and ``coco.json`` for mmdet."""
    write_synthvis(
        folder, "train", count, 20, size, 0, "easy", workers=2, show_progress=True
    )
    content = json.loads((folder / "train.json").read_text())
    (folder / "coco.json").write_text(json.dumps(to_mmdet(content)))


def to_mmdet(content: Mapping[str, Any]) -> dict[str, Any]:
    """What mmdet's ``youtubevis2coco.py`` makes of a file in YouTube-VIS format."""
    images: dict[tuple[int, int], dict[str, Any]] = {}
    for video in content["videos"]:
        for t, name in enumerate(video["file_names"]):
            images[video["id"], t] = dict(
                id=len(images) + 1,
                video_id=video["id"],
                file_name=name,
                width=video["width"],
                height=video["height"],
                frame_id=t,
            )
    annotations = [
        dict(
            video_id=track["video_id"],
            image_id=images[track["video_id"], t]["id"],
            instance_id=track["id"],
            category_id=track["category_id"],
            bbox=track["bboxes"][t],
            area=track["areas"][t],
            segmentation=mask,
            iscrowd=0,
        )
        for track in content["annotations"]
        for t, mask in enumerate(track["segmentations"])
        if mask is not None
    ]
    return {
        "categories": content["categories"],
        "videos": content["videos"],
        "images": list(images.values()),
        "annotations": [
            dict(annotation, id=number)
            for number, annotation in enumerate(annotations, start=1)
        ],
    }


def loader_config(
    name: str, folder: Path, resize: Mapping[str, Any], args: argparse.Namespace
) -> dict[str, Any]:
    """Config of the loader of ``mmtaformer`` or of ``mmdet``."""
    if name == "mmtaformer":
        target = dict(target_scale=SMALL) if resize.get("scale") == SMALL else {}
        load = [
            dict(type="LoadFrame", **target),
            dict(type="LoadVideoAnnotations", with_mask=True),
        ]
        sample = dict(type="ClipSample", num_frames=NUM_FRAMES)
        dataset = dict(type="YTVISDataset", ann_file="train.json")
    else:
        load = [
            dict(type="LoadImageFromFile"),
            dict(type="LoadTrackAnnotations", with_mask=True),
        ]
        sample = dict(
            type="UniformRefFrameSample", num_ref_imgs=NUM_FRAMES - 1, frame_range=100
        )
        categories = json.loads((folder / "coco.json").read_text())["categories"]
        dataset = dict(
            type="YouTubeVISDataset",
            ann_file="coco.json",
            dataset_version="2021",
            metainfo=dict(classes=tuple(category["name"] for category in categories)),
        )
    transforms = [*load, dict(resize), dict(type="RandomFlip", prob=0.5)]
    dataset |= dict(
        data_root=str(folder),
        data_prefix=dict(img_path="train/JPEGImages"),
        pipeline=[
            sample,
            dict(
                type="TransformBroadcaster",
                share_random_params=True,
                transforms=transforms,
            ),
            dict(type="PackTrackInputs"),
        ],
    )
    return dict(
        batch_size=args.batch_size,
        num_workers=args.workers,
        persistent_workers=False,
        sampler=dict(type="TrackImgSampler"),
        dataset=dataset,
    )


def clips_per_second(config: Mapping[str, Any], seed: int) -> float:
    """Speed over an epoch, without its first batch, which waits for the workers."""
    loader = Runner.build_dataloader(dict(config), seed=seed)
    batches = iter(loader)
    next(batches)
    start = time.perf_counter()
    count = sum(len(batch["inputs"]) for batch in batches)
    return count / (time.perf_counter() - start)


def print_table(args: argparse.Namespace, folder: Path) -> None:
    """Time both loaders in turn."""
    table = Table("resized to", "mmtaformer", "mmdet", "ratio", title="clips / s")
    with Progress(transient=True) as progress:
        task = progress.add_task("loading", total=len(RESIZING) * args.runs)
        for row, resize in RESIZING.items():
            speeds: dict[str, list[float]] = {"mmtaformer": [], "mmdet": []}
            for seed in range(args.runs):
                for name, found in speeds.items():
                    config = loader_config(name, folder, resize, args)
                    found.append(clips_per_second(config, seed))
                progress.advance(task)
            own, other = (statistics.median(found) for found in speeds.values())
            table.add_row(row, f"{own:.1f}", f"{other:.1f}", f"{own / other:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
