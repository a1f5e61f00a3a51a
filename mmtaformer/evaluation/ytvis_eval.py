"""Video average precision and recall, as the official YouTube-VIS code has them."""

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from typing import Any

import numpy as np
from mmdet.evaluation.functional import YTVIS, YTVISeval, ytviseval
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mmtaformer.utils.errors import UsageError
from mmtaformer.ytvis.annotations import select_classes
from mmtaformer.ytvis.checks import is_integer
from mmtaformer.ytvis.json_files import PathType
from mmtaformer.ytvis.results import load_ground_truth, load_results
from mmtaformer.ytvis.rle import area

from .removed_aliases import restore_numpy_aliases

restore_numpy_aliases(ytviseval)  # mmdet 3.3.0 converts to `np.float`

_AREAS = {"s": 1, "m": 2, "l": 3}  # indices into the official code's area ranges


def evaluate_ytvis(
    gt: Mapping[str, Any] | PathType,
    results: Sequence[Mapping[str, Any]] | PathType,
    max_dets: Sequence[int] = (1, 10, 100),
    classes: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Evaluate results of video instance segmentation.

    The figures are those of the official YouTube-VIS evaluation at full precision:
    AP is the mean over IoU 0.50:0.05:0.95 of whole videos and over categories, and
    every video of the ground truth counts, whether it has results or not. Ids may
    be any integers; the official code takes a match with annotation 0 for a miss.

    Args:
        gt: Ground truth: path of the official JSON, or its content.
        results: Path of a results JSON or submission zip, or the entries.
        max_dets: Numbers of instances per video that recall is computed at; the
            largest is the one of every other figure.
        classes: Names of the categories to evaluate; all of the file if None.

    Returns:
        ``AP``, ``AP50``, ``AP75``, ``AP_s``, ``AP_m``, ``AP_l``, one ``AR{n}`` per
        number in ``max_dets``, ``AR_s``, ``AR_m``, ``AR_l`` (-1 where there is no
        ground truth), ``per_category_AP`` (category id to AP, None where there is
        no ground truth), ``category_names`` (category id to name) and ``max_dets``.

    Raises:
        FileNotFoundError: If a file does not exist.
        DataError: If a file is malformed or the two do not belong together.
        UsageError: If ``max_dets`` are not positive numbers.
    """
    max_dets = check_max_dets(max_dets)
    ground_truth = load_ground_truth(gt)
    entries = load_results(results, ground_truth)
    names = {c["id"]: c["name"] for c in ground_truth["categories"]}
    if classes is not None:
        categories = ground_truth["categories"]
        _, labels = select_classes(categories, classes, "the ground truth")
        names = {category_id: names[category_id] for category_id in labels}

    # The official code reports its progress on stdout.
    with redirect_stdout(io.StringIO()):
        gt_api = YTVIS(_evaluation_copy(ground_truth))
        evaluator = YTVISeval(gt_api, _results_api(gt_api, entries), "segm")
        evaluator.params.catIds = sorted(names)
        evaluator.params.maxDets = max_dets
        evaluator.evaluate()
        evaluator.accumulate()
    figures = _summarize(evaluator, max_dets)
    precision = evaluator.eval["precision"][:, :, :, 0, -1]
    per_category = {
        int(category_id): _mean(precision[:, :, k], empty=None)
        for k, category_id in enumerate(sorted(names))
    }
    return {
        **figures,
        "per_category_AP": per_category,
        "category_names": {int(i): names[i] for i in sorted(names)},
        "max_dets": max_dets,
    }


def check_max_dets(max_dets: Sequence[int]) -> list[int]:
    """Sort the numbers of instances that recall is computed at.

    Args:
        max_dets: The numbers.

    Raises:
        UsageError: If there is none, or one is not positive.
    """
    numbers = list(max_dets)
    if not numbers or not all(is_integer(n) and n > 0 for n in numbers):
        raise UsageError(f"max_dets must be positive numbers, but is {numbers}.")
    return sorted(set(numbers))


def format_tables(result: Mapping[str, Any]) -> str:
    """Format a result of :func:`evaluate_ytvis` for a terminal or a log.

    Args:
        result: What :func:`evaluate_ytvis` returned.

    Returns:
        Two tables of percentages: all figures, and the AP of each category. A dash
        means that there is no ground truth.
    """
    figures = [key for key, value in result.items() if isinstance(value, float)]
    half = (len(figures) + 1) // 2
    rows = []
    for left in range(half):
        row = []
        for key in figures[left::half]:
            row += [key, _percent(result[key])]
        rows.append(row)
    names = result["category_names"]
    per_category = [
        [str(category_id), names[category_id], _percent(ap)]
        for category_id, ap in result["per_category_AP"].items()
    ]
    return "\n".join(
        [
            _table("overall", ["figure", "%>", "figure", "%>"], rows),
            _table("per category", ["id>", "category", "AP %>"], per_category),
        ]
    )


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Draw a table in plain characters; ``>`` ends the names of columns of numbers."""
    table = Table(title=title, box=box.ASCII)
    for column in columns:
        table.add_column(
            column.removesuffix(">"),
            justify="right" if column.endswith(">") else "left",
            no_wrap=True,
        )
    for row in rows:
        table.add_row(*map(escape, row))
    console = Console(file=io.StringIO(), width=200, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def _percent(value: float | None) -> str:
    return "-" if value is None or value < 0 else f"{100 * value:.2f}"


def _evaluation_copy(ground_truth: Mapping[str, Any]) -> dict[str, Any]:
    """Copy what the official code changes, with annotation ids that start at 1.

    It stores the annotation's id as the mark of a match, where 0 stands for "no
    match", and needs ``areas`` and ``iscrowd``.
    """
    annotations = []
    for number, annotation in enumerate(ground_truth["annotations"], start=1):
        rles = annotation["segmentations"]
        given = annotation.get("areas") or [None] * len(rles)
        areas = [
            area(rle) if size is None else size
            for rle, size in zip(rles, given, strict=True)
        ]
        annotations.append(
            {
                "id": number,
                "video_id": annotation["video_id"],
                "category_id": annotation["category_id"],
                "iscrowd": annotation.get("iscrowd", 0),
                "areas": areas,
                "segmentations": rles,
            }
        )
    return {**ground_truth, "annotations": annotations}


def _results_api(gt_api: YTVIS, entries: Sequence[Mapping[str, Any]]) -> YTVIS:
    """Index the results; ``loadRes`` itself fails on an empty list."""
    if not entries:
        return YTVIS({**gt_api.dataset, "annotations": []})
    keys = ("video_id", "category_id", "score", "segmentations")
    return gt_api.loadRes([{key: entry[key] for key in keys} for entry in entries])


def _summarize(evaluator: YTVISeval, max_dets: Sequence[int]) -> dict[str, float]:
    """Average the official code's precision and recall arrays.

    ``YTVISeval.summarize`` does the same, but for the default ``max_dets`` only.
    """
    precision = evaluator.eval["precision"]  # (thresholds, recalls, classes, areas, n)
    recall = evaluator.eval["recall"]  # (thresholds, classes, areas, n)
    thresholds = evaluator.params.iouThrs
    figures = {"AP": _mean(precision[:, :, :, 0, -1])}
    for threshold in (0.5, 0.75):
        at = np.isclose(thresholds, threshold)
        figures[f"AP{100 * threshold:.0f}"] = _mean(precision[at, :, :, 0, -1])
    for name, index in _AREAS.items():
        figures[f"AP_{name}"] = _mean(precision[:, :, :, index, -1])
    for index, count in enumerate(max_dets):
        figures[f"AR{count}"] = _mean(recall[:, :, 0, index])
    for name, index in _AREAS.items():
        figures[f"AR_{name}"] = _mean(recall[:, :, index, -1])
    return figures


def _mean(values: np.ndarray, empty: float | None = -1.0) -> Any:
    """Mean of the entries that have ground truth; -1 marks those that do not."""
    valid = values[values > -1]
    return float(valid.mean()) if valid.size else empty
