"""Training curves of one or several runs, from the logs in their work dirs."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from mmtaformer.utils.launch import UsageError, friendly_errors

from .common import add_out_argument, save_figure

AP = "youtube_vis/AP"
_COLUMNS = 4


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work_dirs", nargs="+", help="work dirs of trainings")
    parser.add_argument(
        "--names", nargs="+", help="what they are called (default: their folders)"
    )
    parser.add_argument(
        "--keys",
        nargs="+",
        help="what is shown, such as loss d0.loss_cls lr (default: the loss and its "
        "parts on the last decoder layer, and AP)",
    )
    add_out_argument(parser, "figures/training_curves")
    args = parser.parse_args(argv)
    if args.names and len(args.names) != len(args.work_dirs):
        parser.error(f"{len(args.work_dirs)} work dirs, but {len(args.names)} --names")
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Write the figure that the command line asks for."""
    args = parse_args(argv)
    with friendly_errors():
        names = args.names or [Path(folder).name for folder in args.work_dirs]
        logs = {
            name: read_log(Path(folder))
            for name, folder in zip(names, args.work_dirs, strict=True)
        }
        png, pdf = save_figure(draw_figure(logs, args.keys), args.out)
        print(f"Wrote {png} and {pdf}.")


def read_log(work_dir: Path) -> dict[str, list[tuple[int, float]]]:
    """Read what a training logged, over all times it was resumed.

    Args:
        work_dir: Its work dir.

    Returns:
        For each key, pairs of iteration and value; of the metrics of validation,
        which have a name with a slash, pairs of epoch and value. From where a
        training was resumed, or started again, the later log counts.

    Raises:
        UsageError: If there is no log.
    """
    files = sorted(work_dir.glob("*/vis_data/scalars.json"))
    if not files:
        raise UsageError(
            f"there is no log {work_dir}/*/vis_data/scalars.json; give the work dir "
            "of a training."
        )
    curves: dict[str, dict[int, float]] = {}
    for path in files:
        for key, curve in _read_file(path).items():
            before = curves.get(key, {}).items()
            kept = {step: value for step, value in before if step < min(curve)}
            curves[key] = kept | curve
    return {key: sorted(curve.items()) for key, curve in curves.items()}


def draw_figure(
    logs: Mapping[str, Mapping[str, Sequence[tuple[int, float]]]],
    keys: Sequence[str] | None = None,
) -> Figure:
    """Draw a panel per key with a curve per run.

    Args:
        logs: What :func:`read_log` returns, by name of the run.
        keys: The keys; None for a choice of what the runs have.

    Returns:
        A figure with one axes per key.

    Raises:
        UsageError: If no run has a key.
    """
    known = {key for log in logs.values() for key in log}
    for key in keys or ():
        if key not in known:
            raise UsageError(
                f"no run has logged {key}; choose of {', '.join(sorted(known))}."
            )
    keys = list(keys or _default_keys(known))
    columns = min(_COLUMNS, len(keys))
    rows = -(-len(keys) // columns)
    figure = Figure(figsize=(3.3 * columns, 2.7 * rows + 0.4), layout="constrained")
    grid = figure.add_gridspec(rows, columns)
    for index, key in enumerate(keys):
        ax = figure.add_subplot(grid[divmod(index, columns)])
        for number, (name, log) in enumerate(logs.items()):
            steps, values = zip(*log[key], strict=True) if key in log else ((), ())
            marker = "o" if len(steps) < 20 else ""
            ax.plot(steps, values, marker=marker, ms=3, c=f"C{number}", label=name)
        ax.set_title(key.removeprefix("youtube_vis/"), fontsize=10)
        if "/" in key:  # a metric: small differences shall look small
            ax.set_ylim(bottom=0)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.set_xlabel("epoch" if "/" in key else "iteration", fontsize=8)
        ax.tick_params(labelsize=8)
        ax.grid(alpha=0.3)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=9)
    return figure


def _read_file(path: Path) -> dict[str, dict[int, float]]:
    """What one log has: for each key, values by iteration or epoch."""
    curves: dict[str, dict[int, float]] = {}
    for line in path.read_text().splitlines():
        record = _parse(line)
        is_training = "loss" in record
        for key, value in record.items():
            if isinstance(value, int | float) and is_training != ("/" in key):
                curves.setdefault(key, {})[record["step"]] = value
    return curves


def _default_keys(known: set[str]) -> list[str]:
    """The loss, its parts on the last decoder layer, and AP."""
    losses = sorted(key for key in known if key.startswith("loss"))
    return losses + [AP] * (AP in known)


def _parse(line: str) -> dict[str, Any]:
    """One record of a log; nothing if the last line was cut off."""
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return {}


if __name__ == "__main__":
    main()
