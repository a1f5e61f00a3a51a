"""What the ablation came to: a Markdown file and a plot, beside the paper's figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablation_rows import ROWS, TITLES, Row
from ablation_runs import Run, existing_runs, mean_and_std
from figure_files import save_figure
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmtaformer.utils.files import atomic_path

_PAPER_METRICS = ("AP", "AP50", "AP75")
_HEADER = """\
| Row | Paper | Here | AP of each seed | Time per run |
|---|---|---|---|---|
"""
_PAPER_COLOR, _HERE_COLOR = "#7a7a7a", "#c8501e"


@dataclass(frozen=True)
class RowResult:
    """The complete runs of one row.

    Attributes:
        row: The row.
        records: The record of each seed; see :meth:`Run.read_record`.
    """

    row: Row
    records: Mapping[int, Mapping[str, Any]]

    def values(self, metric: str) -> list[float]:
        """A metric of each seed, in percent."""
        return [100 * record["metrics"][metric] for record in self.records.values()]

    def minutes(self) -> float:
        """Mean time to train and test, in minutes."""
        seconds = [sum(r["seconds"].values()) for r in self.records.values()]
        return sum(seconds) / len(seconds) / 60


def gather(runs: Sequence[Run]) -> list[RowResult]:
    """Results of all rows of the tables; of rows that share runs, each has them."""
    records: dict[str, dict[int, Any]] = {row.config: {} for row in ROWS}
    for run in runs:
        record = run.read_record()
        if record is not None and run.config in records:
            records[run.config][run.seed] = record
    return [RowResult(row, records[row.config]) for row in ROWS]


def write_report(work_dir: Path) -> None:
    """Write ``ablation.md``, ``ablation.png`` and ``ablation.pdf`` into a work dir."""
    runs = existing_runs(work_dir)
    results = gather(runs)
    with atomic_path(work_dir / "ablation.md") as partial:
        partial.write_text(markdown(results, runs))
    save_figure(plot(results), work_dir / "ablation")


def markdown(results: Sequence[RowResult], runs: Sequence[Run]) -> str:
    """Tables of the results, and what is missing.

    Args:
        results: One per row, in the order of the paper.
        runs: The runs they come from, complete or not.

    Returns:
        The text of the Markdown file.
    """
    parts = ["# The ablation at small scale\n", _preamble(results)]
    for table, title in TITLES.items():
        lines = [_line(result) for result in results if result.row.table == table]
        parts.append(f"## {title}\n\n{_HEADER}" + "".join(lines))
    parts.append("![The paper's AP beside AP here](ablation.png)\n")
    states = {run.name: run.state() for run in runs}
    missing = [f"- {n}: {s}\n" for n, s in states.items() if s != "complete"]
    if missing:
        parts.append("## Not complete\n\n" + "".join(missing))
    return "\n".join(parts)


def figure_text(values: Sequence[float]) -> str:
    """Mean and standard deviation, such as ``31.4 ± 0.8``."""
    mean, std = mean_and_std(values)
    return f"{mean:.1f}" if std is None else f"{mean:.1f} ± {std:.1f}"


def plot(results: Sequence[RowResult]) -> Figure:
    """Draw AP of the paper (left) and of this project (right), a line per table.

    Args:
        results: One per row, in the order of the paper.

    Returns:
        A figure with two axes per table. Dots on the right are single seeds, the
        diamond and the bar their mean and standard deviation.
    """
    groups = [[r for r in results if r.row.table == table] for table in TITLES]
    figure = Figure(figsize=(8.5, 7), layout="constrained")
    axes = figure.subplots(
        len(groups),
        2,
        squeeze=False,
        sharex="col",
        gridspec_kw=dict(height_ratios=[len(group) for group in groups]),
    )
    for (paper, here), group, title in zip(axes, groups, TITLES.values(), strict=True):
        _plot_paper(paper, group)
        _plot_here(here, group)
        paper.set_title(title, loc="left", fontsize=10)
        for ax in (paper, here):
            ax.set_ylim(len(group) - 0.5, -0.5)
            ax.grid(axis="x", alpha=0.3)
        paper.set_yticks(range(len(group)), [result.row.label for result in group])
        here.set_yticks(range(len(group)), [""] * len(group))
    axes[-1, 0].set_xlabel("AP of the paper, YouTube-VIS 2019")
    axes[-1, 1].set_xlabel("AP here, small models on generated videos")
    return figure


def _plot_paper(ax: Axes, group: Sequence[RowResult]) -> None:
    values = [result.row.paper[0] for result in group]
    ax.plot(values, range(len(group)), "D", color=_PAPER_COLOR)


def _plot_here(ax: Axes, group: Sequence[RowResult]) -> None:
    for y, result in enumerate(group):
        values = result.values("AP")
        if not values:
            continue
        mean, std = mean_and_std(values)
        ax.plot(values, [y] * len(values), "o", color=_HERE_COLOR, alpha=0.35)
        ax.errorbar(mean, y, xerr=std, fmt="D", color=_HERE_COLOR, capsize=4)


def _line(result: RowResult) -> str:
    row = result.row
    cells = [row.label, " / ".join(f"{value:.1f}" for value in row.paper)]
    if result.records:
        cells += [
            " / ".join(figure_text(result.values(name)) for name in _PAPER_METRICS),
            ", ".join(
                f"{seed}: {value:.1f}"
                for seed, value in zip(result.records, result.values("AP"), strict=True)
            ),
            f"{result.minutes():.1f} min",
        ]
    else:
        cells += ["not run", "-", "-"]
    return f"| {' | '.join(cells)} |\n"


def _preamble(results: Sequence[RowResult]) -> str:
    """What the figures are, and what they were measured on."""
    records = {
        (result.row.config, seed): record
        for result in results
        for seed, record in result.records.items()
    }
    lines = [
        "AP / AP50 / AP75 in percent. The paper's are of its models on YouTube-VIS "
        "2019; those here are\nof the small models on generated videos: mean ± sample "
        "standard deviation over the seeds.\nRows with the same model, such as "
        "TAFormer in Tables 3 and 6, are trained once.\n"
    ]
    if records:
        some = next(iter(records.values()))
        hours = sum(sum(r["seconds"].values()) for r in records.values()) / 3600
        lines.append(
            f"\n{len(records)} complete runs of {some['max_epochs']} epochs, tested on "
            f"`{some['ann_file']}`; {hours:.2f} h in all.\n"
        )
    return "".join(lines)
