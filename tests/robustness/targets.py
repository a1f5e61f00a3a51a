"""What is attacked: each target reads a damaged file and compares with the oracle."""

import contextlib
import copy
import io
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmdet.evaluation.functional import YTVIS, YTVISeval
from mmdet.registry import DATASETS, TRANSFORMS
from pycocotools import mask as mask_utils

from mmtaformer.evaluation import evaluate_ytvis
from mmtaformer.utils.errors import DataError, UsageError

from ..helpers.ytvis_factory import moving_video, rectangle, write_dataset
from .damage import Damaged
from .oracle import Refused, read_annotations, read_results

SIZE = (40, 24)  # width, height

CLEAN = "one clear sentence"
RIGHT = "right or harmless"
STRICT = "refused although right"
RAW = "raw traceback"
WRONG = "silently wrong"


@dataclass(frozen=True)
class Outcome:
    """How a case ended."""

    kind: str
    what: str
    detail: str = ""


def write_base(root: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A data set of five videos with masks of every kind, and results for it."""
    videos = [
        moving_video(v, 3, 1 + (v % 2), SIZE, ".png" if v else ".jpg", 10 * v)
        for v in range(4)
    ]
    mask = rectangle(SIZE, 5, 5, 12, 9)
    gap = moving_video(9, 3, 1, SIZE, ".png", 90, ("compressed",))
    gap.instances[0].masks = [mask, None, mask]
    gap.instances[0].iscrowd = 1
    videos.append(gap)
    content = write_dataset(root, videos)
    results = [
        dict(
            video_id=annotation["video_id"],
            category_id=annotation["category_id"],
            score=0.9 - 0.1 * number,
            segmentations=copy.deepcopy(annotation["segmentations"]),
        )
        for number, annotation in enumerate(content["annotations"])
    ]
    del content["annotations"][1]["iscrowd"], content["annotations"][2]["areas"]
    (root / "results.json").write_text(json.dumps(results))
    return content, results


def load_dataset(root: Path, damaged: Damaged) -> Outcome:
    """Read annotations with the data set and its training pipeline."""
    path = _place(root, "train.json", damaged.content)
    try:
        expected = read_annotations(damaged.content)
        _check_names(expected, root / "train/JPEGImages")
    except Refused:
        expected = None
    return judge(
        damaged.what,
        lambda: _read_instances(path),
        None if expected is None else lambda: _expected_instances(expected),
        path,
    )


def evaluate_against(root: Path, damaged: Damaged) -> Outcome:
    """Evaluate good results against damaged annotations."""
    path = _place(root, "val.json", damaged.content)
    return _judge_evaluation(damaged, path, root / "results.json")


def evaluate_results(root: Path, damaged: Damaged) -> Outcome:
    """Evaluate damaged results against good annotations."""
    path = _place(root, "damaged.json", damaged.content)
    return _judge_evaluation(damaged, root / "train.json", path)


def _judge_evaluation(damaged: Damaged, truth: Path, results: Path) -> Outcome:
    try:
        expected = read_annotations(truth.read_bytes())
        entries = read_results(results.read_bytes(), expected)
        if not expected["annotations"]:
            raise Refused
    except Refused:
        reference = None
    else:

        def reference():
            return _reference_figures(expected, entries)

    def run():
        result = evaluate_ytvis(truth, results)
        names = ("AP", "AP_s", "AP_m", "AP_l", "AR100", "AR_s")
        return np.array([result[name] for name in names])

    changed = truth if truth.name == "val.json" else results
    return judge(damaged.what, run, reference, changed)


def judge(
    what: str, run: Callable[[], Any], reference: Callable | None, path: Path
) -> Outcome:
    try:
        with _quiet():
            found = run()
    except (DataError, UsageError, FileNotFoundError) as error:
        text = str(error)
        if "\n" in text or len(text) > 600 or not _names(text, path):
            return Outcome(RAW, what, f"no clear sentence: {text!r}")
        return Outcome(CLEAN if reference is None else STRICT, what, text)
    except Exception as error:
        return Outcome(RAW, what, f"{type(error).__name__}: {str(error)[:200]!r}")
    if reference is None:
        return Outcome(WRONG, what, "taken, but broken")
    with _quiet():
        expected = reference()
    same = _same(found, expected)
    return Outcome(RIGHT if same else WRONG, what, "" if same else "other values")


def _names(text: str, path: Path) -> bool:
    """Whether a message says which file is meant."""
    return str(path) in text or str(path.parent / "train") in text


def _same(found: Any, expected: Any) -> bool:
    if isinstance(expected, np.ndarray):
        return found.shape == expected.shape and np.allclose(found, expected, atol=1e-9)
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(
            _same(found[key], expected[key]) for key in expected
        )
    if isinstance(expected, tuple):
        return all(_same(*pair) for pair in zip(found, expected, strict=True))
    return found == expected


@contextlib.contextmanager
def _quiet():
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def _place(root: Path, name: str, content: bytes) -> Path:
    """A copy of the data set for this process, with another file."""
    folder = root / f"process{os.getpid()}"
    if not folder.exists():
        folder.mkdir()
        (folder / "train").symlink_to(root / "train")
    (folder / name).write_bytes(content)
    return folder / name


def _check_names(truth: dict[str, Any], folder: Path) -> None:
    """Refuse what the data set must refuse because of its images."""
    for video in truth["videos"].values():
        for name in video["names"]:
            path = Path(os.path.normpath(folder / name))
            if ".." in name.replace("\\", "/").split("/") or name.startswith("/"):
                raise Refused
            if not os.path.isfile(path):  # also for a name that is too long
                raise Refused
        image = cv2.imread(str(folder / video["names"][0]))
        if image is None or image.shape[:2] != video["size"]:
            raise Refused
    if not any(
        not annotation["crowd"]
        and any(m is not None and m.any() for m in annotation["masks"])
        for annotation in truth["annotations"]
    ):
        raise Refused


def _build(path: Path) -> Any:
    """The data set of a file in its folder, with every video and every frame."""
    return DATASETS.build(
        dict(
            type="YTVISDataset",
            data_root=str(path.parent),
            ann_file=path.name,
            data_prefix=dict(img_path="train/JPEGImages"),
            filter_cfg=dict(filter_empty_gt=False),
        )
    )


def _load(dataset: Any) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Video, frame, and what the first steps of a training pipeline make of it."""
    load_frame, load_annotations = (
        TRANSFORMS.build(cfg)
        for cfg in (
            dict(type="LoadFrame"),
            dict(type="LoadVideoAnnotations", with_mask=True),
        )
    )
    for index in range(len(dataset)):
        video = dataset.get_data_info(index)
        for frame, image in enumerate(video["images"]):
            image["video_id"] = video["video_id"]
            yield video["video_id"], frame, load_annotations(load_frame(image))


def read_frames(path: Path) -> dict[tuple[int, int], np.ndarray]:
    """Pixels of every frame of a data set, (H, W, 3) RGB, by video and frame."""
    return {(v, t): loaded["img"][..., ::-1] for v, t, loaded in _load(_build(path))}


def _read_instances(path: Path) -> dict[Any, Any]:
    """Per frame and instance: mask, box, class and whether it is a crowd."""
    dataset = _build(path)
    classes = dataset.metainfo["classes"]
    found = {}
    for video, frame, loaded in _load(dataset):
        for row, number in enumerate(loaded["gt_instances_ids"].tolist()):
            found[video, frame, number] = (
                loaded["gt_masks"].masks[row] > 0,
                np.asarray(loaded["gt_bboxes"][row], dtype=float),
                classes[loaded["gt_bboxes_labels"][row]],
                bool(loaded["gt_ignore_flags"][row]),
            )
    return found


def _expected_instances(truth: dict[str, Any]) -> dict[Any, Any]:
    found = {}
    for a in truth["annotations"]:
        height, width = truth["videos"][a["video"]]["size"]
        for frame, (mask, box) in enumerate(zip(a["masks"], a["boxes"], strict=True)):
            if mask is None or not mask.any():
                continue
            ys, xs = np.nonzero(mask)
            corners = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
            if box is not None:
                x, y, w, h = map(float, box)
                cut = [max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)]
                cut = np.array(cut).astype(np.float32)
                if cut[2] > cut[0] and cut[3] > cut[1]:
                    corners = cut
            found[a["video"], frame, a["id"]] = (
                mask,
                np.array(corners, dtype=np.float32).astype(float),
                truth["categories"][a["category"]],
                bool(a["crowd"]),
            )
    return found


def _reference_figures(
    truth: dict[str, Any], entries: list[dict[str, Any]]
) -> np.ndarray:
    """AP, AP of three sizes, AR and AR of small ones, by mmdet's classes alone."""
    annotations = [
        dict(
            id=number,
            video_id=a["video"],
            category_id=a["category"],
            iscrowd=a["crowd"],
            areas=_areas(a),
            segmentations=list(map(_compress, a["masks"])),
        )
        for number, a in enumerate(truth["annotations"], start=1)
    ]
    content = dict(
        videos=[
            dict(id=i, height=v["size"][0], width=v["size"][1], file_names=v["names"])
            for i, v in truth["videos"].items()
        ],
        categories=[dict(id=i, name=n) for i, n in truth["categories"].items()],
        annotations=annotations,
    )
    api = YTVIS(copy.deepcopy(content))
    predictions = [
        dict(
            video_id=e["video"],
            category_id=e["category"],
            score=e["score"],
            segmentations=list(map(_compress, e["masks"])),
        )
        for e in entries
    ]
    found = (
        api.loadRes(predictions)
        if predictions
        else YTVIS(copy.deepcopy(dict(content, annotations=[])))
    )
    evaluator = YTVISeval(api, found, "segm")
    evaluator.params.maxDets = [1, 10, 100]
    evaluator.params.catIds = sorted(truth["categories"])
    evaluator.evaluate()
    evaluator.accumulate()
    precision, recall = evaluator.eval["precision"], evaluator.eval["recall"]
    values = [precision[:, :, :, area, -1] for area in range(4)]
    values += [recall[:, :, area, -1] for area in range(2)]
    means = [v[v > -1].mean() if (v > -1).any() else -1 for v in values]
    return np.array(means)


def _areas(annotation: dict[str, Any]) -> list[float | None]:
    """The areas of the file; where there is none, that of the mask."""
    return [
        area if area is not None or mask is None else int(mask.sum())
        for area, mask in zip(annotation["areas"], annotation["masks"], strict=True)
    ]


def _compress(mask: np.ndarray | None) -> dict[str, Any] | None:
    if mask is None:
        return None
    return mask_utils.encode(np.asfortranarray(mask.astype(np.uint8)))
