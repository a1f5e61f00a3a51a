"""What the runs came to: a Markdown file and a plot, beside the paper's figures."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import t as student

from mmtaformer.synthvis.ceilings import read_ceilings
from mmtaformer.utils.files import atomic_path
from mmtaformer.utils.launch import UsageError

from ..figures.common import save_figure
from .rows import model_names
from .runs import read_records

_METRICS = ("AP", "AP50", "AP75")
_PREAMBLE = """\
# The ablation at small scale

AP / AP50 / AP75 in percent: of the paper's models on YouTube-VIS 2019, and of the small
models here, as means over the seeds with their 95 % intervals. "Over the first row" is
the difference of AP between runs of one seed, likewise. IoU is that of masks in frames
that show an object in full / in others, where data say which. "Own frames" is mean AP
if every frame sees copies of itself for other frames: in the encoder / the decoder /
both, of models that look at them there.
"""
_HEADER = """
| Row | Paper | Here | AP of each seed | Over the first row | IoU | Own frames | Time |
|---|---|---|---|---|---|---|---|
"""
_CEILINGS = """
## Ceilings

What perfect models reach on these data that know no more than they are allowed to.

| A perfect model that knows | AP | AP50 | AP75 | IoU |
|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Result:
    """The complete runs of one row, or of another model.

    Attributes:
        label: What it is called.
        paper: The paper's figures, AP first; empty for other models.
        records: The record of each seed; see :func:`read_records`.
    """

    label: str
    paper: tuple[float, ...]
    records: Mapping[int, Mapping[str, Any]]

    def values(self, metric: str = "AP") -> dict[int, float]:
        """A metric by seed, in percent."""
        return {s: 100 * r["metrics"][metric] for s, r in self.records.items()}


def gather(work_dir: Path) -> dict[str, list[Result]]:
    """Read the complete runs below a work dir.

    Returns:
        The results by table; of rows that share runs, each has them.

    Raises:
        UsageError: If there are none.
    """
    records = read_records(work_dir)
    if not records:
        raise UsageError(f"there is no complete run in {work_dir}; check --work-dir.")
    groups: dict[str, list[Result]] = {}
    # A table is shown if one of the models that are its own was run.
    tables = {row.table for row in model_names() if row.name in records}
    for row, name in model_names().items():
        if row.table in tables:
            result = Result(row.label, row.figures, records.get(name, {}))
            groups.setdefault(f"Table {row.table}", []).append(result)
    rows = set(model_names().values())
    others = {name: runs for name, runs in records.items() if name not in rows}
    if others:
        results = [Result(name, (), runs) for name, runs in others.items()]
        groups["Other models"] = results
    return groups


def write_report(work_dir: Path) -> None:
    """Write ``ablation.md``, ``ablation.png`` and ``ablation.pdf`` into a work dir."""
    groups = gather(work_dir)
    with atomic_path(work_dir / "ablation.md") as partial:
        partial.write_text(markdown(groups))
    save_figure(plot(groups), work_dir / "ablation")


def markdown(groups: Mapping[str, Sequence[Result]]) -> str:
    """Tables of the results.

    Args:
        groups: Results by table, see :func:`gather`.

    Returns:
        The text of the Markdown file.
    """
    parts = [_PREAMBLE]
    for title, results in groups.items():
        lines = (_line(result, results[0]) for result in results)
        parts.append(f"\n## {title}\n{_HEADER}" + "".join(lines))
    files = {
        record["ann_file"]
        for results in groups.values()
        for result in results
        for record in result.records.values()
    }
    for ceilings in filter(None, map(read_ceilings, sorted(files))):
        parts.append(_CEILINGS + "".join(map(_ceiling_line, *zip(*ceilings.items()))))
    parts.append("\n![AP of the paper beside AP here](ablation.png)\n")
    return "".join(parts)


def _line(result: Result, first: Result) -> str:
    paper = " / ".join(f"{value:.1f}" for value in result.paper) or "-"
    cells = [result.label, paper, "not run", "-", "-", "-", "-", "-"]
    if result.records:
        minutes = [r["training_seconds"] / 60 for r in result.records.values()]
        cells[2:] = [
            " / ".join(_mean_cell(result.values(m)) for m in _METRICS),
            ", ".join(f"{s}: {value:.1f}" for s, value in result.values().items()),
            paired_difference(result.values(), first.values()),
            _ious([record["metrics"] for record in result.records.values()]),
            _own_frames([r.get("own_frames") for r in result.records.values()]),
            f"{statistics.fmean(minutes):.1f} min",
        ]
    return f"| {' | '.join(cells)} |\n"


def _ceiling_line(name: str, figures: Mapping[str, float]) -> str:
    cells = [f"{100 * figures[metric]:.1f}" for metric in _METRICS]
    return f"| {' | '.join([name, *cells, _ious([figures])])} |\n"


def _ious(metrics: Sequence[Mapping[str, Any]]) -> str:
    """Mean IoU in percent, drawn / not drawn; ``-`` where the data do not tell."""
    if any(figures.get("IoU_weakened") is None for figures in metrics):
        return "-"
    means = (
        statistics.fmean(100 * figures[f"IoU_{kind}"] for figures in metrics)
        for kind in ("drawn", "weakened")
    )
    return " / ".join(f"{mean:.1f}" for mean in means)


def _own_frames(figures: Sequence[Mapping[str, float] | None]) -> str:
    """Mean AP in percent by what sees own frames only; ``-`` where nothing else is."""
    measured = [own for own in figures if own]
    if not measured:
        return "-"
    means = {
        case: statistics.fmean(100 * own[case] for own in measured)
        for case in measured[0]
    }
    return " / ".join(
        f"{means[case]:.1f}" if case in means else "-"
        for case in ("encoder", "decoder", "both")
    )


def _mean_cell(values: Mapping[int, float]) -> str:
    """Mean of the seeds with its interval; of one seed there is none."""
    mean, half = mean_and_interval(list(values.values()))
    return f"{mean:.1f}" if math.isnan(half) else f"{mean:.1f} ± {half:.1f}"


def mean_and_interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half of its 95 % interval (Student's t), which is nan of one value."""
    count = len(values)
    if count == 1:
        return values[0], math.nan
    half = student.ppf(0.975, count - 1) * statistics.stdev(values) / math.sqrt(count)
    return statistics.fmean(values), half


def paired_difference(values: Mapping[int, float], others: Mapping[int, float]) -> str:
    """Mean difference over the common seeds with its 95 % interval.

    Args:
        values: A value by seed.
        others: What is subtracted, by seed.

    Returns:
        Such as ``+2.8 ± 1.9``; ``-`` if it is the same or no seed is common.
    """
    differences = [values[seed] - others[seed] for seed in values if seed in others]
    if values is others or values == others or not differences:
        return "-"
    mean, half = mean_and_interval(differences)
    return f"{mean:+.1f}" if math.isnan(half) else f"{mean:+.1f} ± {half:.1f}"


def plot(groups: Mapping[str, Sequence[Result]]) -> Figure:
    """Draw AP of the paper (left) and of this project (right), a line per table.

    Args:
        groups: Results by table, see :func:`gather`.

    Returns:
        A figure with two axes per table. Dots on the right are single seeds, the
        diamond and the bar their mean and its 95 % interval.
    """
    heights = [len(results) for results in groups.values()]
    figure = Figure(figsize=(8.5, 1 + 0.6 * sum(heights)), layout="constrained")
    axes = figure.subplots(
        len(groups), 2, squeeze=False, sharex="col", height_ratios=heights
    )
    for pair, (title, results) in zip(axes, groups.items(), strict=True):
        pair[0].set_title(title, loc="left", fontsize=10)
        for y, result in enumerate(results):
            if result.paper:
                pair[0].plot(result.paper[0], y, "D", color="#7a7a7a")
            _plot_seeds(pair[1], y, list(result.values().values()))
        for ax in pair:
            ax.set_ylim(len(results) - 0.5, -0.5)
            ax.grid(axis="x", alpha=0.3)
            ax.set_yticks(range(len(results)), [""] * len(results))
        pair[0].set_yticklabels([result.label for result in results])
    axes[-1, 0].set_xlabel("AP of the paper, YouTube-VIS 2019")
    axes[-1, 1].set_xlabel("AP here, small models on generated videos")
    return figure


def _plot_seeds(ax: Axes, y: int, values: Sequence[float]) -> None:
    if values:
        mean, half = mean_and_interval(values)
        ax.plot(values, [y] * len(values), "o", color="#c8501e", alpha=0.35)
        ax.errorbar(mean, y, xerr=half, fmt="D", color="#c8501e", capsize=4)
