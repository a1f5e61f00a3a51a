"""Compare whole-video mode and online mode with three ways of linking.

The test set of the config is tracked in each mode. A line per mode gives AP, the number
of identity switches and the speed. Online mode links as it does by default, without
tracks that return, and with a third of the affinity from embeddings::

    python tools/analysis_tools/eval_online.py CONFIG CHECKPOINT --clip-length 5 10
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import mmtaformer  # noqa: F401

# isort: split
from mmdet.registry import DATASETS
from mmengine.config import DictAction
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.optimize import linear_sum_assignment

from mmtaformer.apis import TrackingOptions, init_model
from mmtaformer.apis.frame_pipeline import build_pipeline
from mmtaformer.apis.sources import ImageFiles
from mmtaformer.apis.tracking import TrackCollector, open_stream
from mmtaformer.evaluation import evaluate_ytvis
from mmtaformer.utils.launch import friendly_errors
from mmtaformer.ytvis.results import load_ground_truth
from mmtaformer.ytvis.rle import to_rles
from mmtaformer.ytvis.tubes import tube_ious

LINKERS: dict[str, dict[str, Any]] = {
    "": {},
    ", no returns": {"return_similarity": None},
    ", embeddings": {"embedding_weight": 1 / 3},
}


@dataclass(frozen=True)
class Mode:
    """One line of the table."""

    name: str
    options: TrackingOptions
    linker: dict[str, Any]


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("config", help="config file, or name of a model")
    add("checkpoint", help="checkpoint file")
    add("--clip-length", type=int, nargs="+", default=[10], help="of online mode")
    add("--overlap", type=int, default=3, help="frames that two clips share")
    add("--no-whole", action="store_true", help="leave whole-video mode out")
    add("--score-thr", type=float, default=0.3, help="for counting identity switches")
    add("--device", help="cuda, mps or cpu")
    add("--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Print a line per mode."""
    args = parse_args(argv)
    with friendly_errors():
        run(args)


def run(args: argparse.Namespace) -> None:
    """Track the test set in each mode, and evaluate."""
    options = {"model.test_cfg.encode_masks": True} | (args.cfg_options or {})
    model = init_model(args.config, args.checkpoint, args.device, options)
    if getattr(model.bbox_head, "projector", None) is not None:
        model.test_cfg["return_embeddings"] = True
    dataset = DATASETS.build(model.cfg.test_dataloader.dataset)
    truth = load_ground_truth(dataset.ann_file)
    table = Table("mode", "AP", "AP50", "AR10", "switches", "tracks", "frames/s")
    for mode in make_modes(args):
        start = time.perf_counter()
        results = track_dataset(model, dataset, mode)
        speed = sum(v["length"] for v in truth["videos"]) / (
            time.perf_counter() - start
        )
        figures = evaluate_ytvis(truth, results)
        switches = sum(
            count_switches(video, truth, results, args.score_thr)
            for video in truth["videos"]
        )
        shown = sum(entry["score"] >= args.score_thr for entry in results)
        percent = [f"{100 * figures[k]:.1f}" for k in ("AP", "AP50", "AR10")]
        table.add_row(mode.name, *percent, str(switches), str(shown), f"{speed:.1f}")
    Console().print(table)


def make_modes(args: argparse.Namespace) -> list[Mode]:
    """Whole-video mode, and for each clip length the ways of linking."""
    base = TrackingOptions(mode="whole", detect_cuts=False)
    modes = [] if args.no_whole else [Mode("whole", base, {})]
    for length in args.clip_length:
        options = replace(base, mode="online", clip_length=length, overlap=args.overlap)
        for name, linker in LINKERS.items():
            modes.append(Mode(f"online {length}{name}", options, linker))
    return modes


def track_dataset(model: Any, dataset: Any, mode: Mode) -> list[dict[str, Any]]:
    """Results of all videos, in the official format, at most as many as the model's."""
    pipeline = build_pipeline(model.cfg)
    limit = model.test_cfg.get("max_per_video", 10)
    results = []
    for index in track(range(len(dataset)), mode.name, transient=True):
        video = dataset.get_data_info(index)
        paths = [image["img_path"] for image in video["images"]]
        source = ImageFiles(paths, str(video["video_id"]))
        stream = open_stream(
            model, pipeline, source, mode.options, mode.linker, keep_images=False
        )
        collector = TrackCollector()
        for frame, tracks in stream:
            collector.add(frame, tracks)
        found = collector.result(stream, source, dataset.metainfo["classes"], 0.0)
        linked = stream.tracker.linker.tracks
        entries = [
            {
                "video_id": video["video_id"],
                "category_id": dataset.cat_ids[label],
                "score": votes / linked[own.track_id].num_clips,
                "segmentations": list(own.masks),
                "track_id": own.track_id,
            }
            for own in found
            for label, votes in linked[own.track_id].votes.items()
        ]
        results += sorted(entries, key=lambda entry: -entry["score"])[:limit]
    return results


def count_switches(
    video: Mapping[str, Any],
    truth: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    score_thr: float,
) -> int:
    """How often the track that covers an annotated instance changes (CLEAR MOT).

    In each frame instances and tracks are matched by one assignment of masks that
    overlap by an IoU of at least 0.5.
    """
    size = video["height"], video["width"]
    instances = [
        to_rles(annotation["segmentations"], *size)
        for annotation in truth["annotations"]
        if annotation["video_id"] == video["id"]
    ]
    tracks = {
        entry["track_id"]: entry["segmentations"]
        for entry in results
        if entry["video_id"] == video["id"] and entry["score"] >= score_thr
    }
    covered: dict[int, int] = {}
    switches = 0
    for t in range(len(video["file_names"])):
        ious = tube_ious(
            [[masks[t]] for masks in instances], [[m[t]] for m in tracks.values()]
        )
        ids = list(tracks)
        for row, column in zip(*linear_sum_assignment(-ious), strict=True):
            if ious[row, column] >= 0.5:
                switches += covered.get(row, ids[column]) != ids[column]
                covered[row] = ids[column]
    return switches


if __name__ == "__main__":
    main()
