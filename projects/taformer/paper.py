"""Write the tables of README.md anew, from paper.yml and the configs."""

import argparse
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from mmengine.config import Config

import mmtaformer  # noqa: F401
from mmtaformer.utils.files import atomic_path
from mmtaformer.utils.param_count import build_skeleton, count_published

PROJECT = Path(__file__).resolve().parent
ROOT = PROJECT.parents[1]
README = PROJECT / "README.md"
_TABLE = re.compile(r"(<!-- table (\d) -->\n).*?(<!-- end -->)", re.S)
_HEADER = """\
| Row | Config | Params, paper | Params, here | Paper | Here | Time |
|---|---|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Row:
    """One row of a table of the paper.

    Attributes:
        table: Number of the table.
        label: What the row is called.
        config: File of its config.
        dataset: What it is tested on.
        metrics: Names of its figures.
        figures: The figures that the paper prints, in percent.
        params: Millions of parameters that the paper prints; None where it does not.
        time: Estimated time to train it.
    """

    table: int
    label: str
    config: Path
    dataset: str
    metrics: tuple[str, ...]
    figures: tuple[float, ...]
    params: float | None
    time: str

    @property
    def name(self) -> str:
        """Name of the config, without its suffix."""
        return self.config.stem

    @property
    def text(self) -> str:
        """The figures as they stand in a table."""
        return " / ".join(f"{figure:.1f}" for figure in self.figures)


def read_rows() -> list[Row]:
    """Read all rows of paper.yml, in the order of the paper."""
    content = yaml.safe_load((PROJECT / "paper.yml").read_text(encoding="utf-8"))
    return [
        Row(
            table=number,
            label=row["row"],
            config=_find_config(row["config"]),
            dataset=table["dataset"],
            metrics=tuple(table["metrics"]),
            figures=tuple(row["figures"]),
            params=row.get("params"),
            time=row["time"],
        )
        for number, table in content["tables"].items()
        for row in table["rows"]
    ]


def _find_config(path: str) -> Path:
    return ROOT / path if "/" in path else PROJECT / "configs" / path


def render(text: str, rows: Sequence[Row]) -> str:
    """Replace what stands between ``<!-- table N -->`` and ``<!-- end -->``.

    Args:
        text: The page.
        rows: The rows of all tables.

    Returns:
        The page with its tables as the rows have them.
    """

    def replacement(found: re.Match[str]) -> str:
        own = [row for row in rows if row.table == int(found[2])]
        return found[1] + _HEADER + "".join(map(_line, own)) + found[3]

    return _TABLE.sub(replacement, text)


def _line(row: Row) -> str:
    model = build_skeleton(Config.fromfile(row.config).model)
    if row.config.is_relative_to(PROJECT):
        link = row.config.relative_to(PROJECT).as_posix()
    else:
        link = f"../../{row.config.relative_to(ROOT).as_posix()}"
    cells: Iterable[str] = (
        row.label,
        f"[config]({link})",
        "-" if row.params is None else f"{row.params:.1f}",
        f"{count_published(model) / 1e6:.1f}",
        row.text,
        "not trained here",
        row.time,
    )
    return f"| {' | '.join(cells)} |\n"


def main(argv: Sequence[str] | None = None) -> None:
    """Write the page."""
    argparse.ArgumentParser(description=__doc__).parse_args(argv)
    text = render(README.read_text(encoding="utf-8"), read_rows())
    with atomic_path(README) as partial:
        partial.write_text(text, encoding="utf-8")
    print(f"Wrote the tables of {README}.")


if __name__ == "__main__":
    main()
