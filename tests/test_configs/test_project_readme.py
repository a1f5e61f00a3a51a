"""The tables of projects/taformer/README.md against the configs and the paper."""

import re

import pytest
from mmengine.config import Config

import mmtaformer  # noqa: F401
from mmtaformer.utils.param_count import build_skeleton, count_published

from ..helpers.golden import REPO_ROOT

PROJECT = REPO_ROOT / "projects/taformer"
README = (PROJECT / "README.md").read_text()
PAPER = REPO_ROOT.parent / "shared/paper/taformer.txt"
COLUMNS = ("row", "link", "params_paper", "params_here", "paper", "here", "time")


def table_rows():
    """The rows of Tables 1 to 7, as dictionaries."""
    sections = re.findall(r"^## Table (\d).*?\n(.*?)(?=^## )", README, re.M | re.S)
    for number, text in sections:
        for line in text.splitlines():
            if "[config](" in line:
                cells = [cell.strip() for cell in line.strip("|").split("|")]
                row = dict(zip(COLUMNS, cells, strict=True), table=number)
                row["config"] = re.search(r"\((.+)\)", row["link"]).group(1)
                yield row


ROWS = list(table_rows())


def test_every_config_of_the_project_is_a_row():
    assert {row["table"] for row in ROWS} == set("1234567")
    listed = {(PROJECT / row["config"]).resolve() for row in ROWS}
    rows = {path.resolve() for path in (PROJECT / "configs").glob("table*.py")}
    assert rows <= listed
    for row in ROWS:
        path = PROJECT / row["config"]
        assert path.is_file()
        if path.parent == PROJECT / "configs":
            assert path.name.startswith(f"table{row['table']}_")


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (PROJECT / target).exists(), target


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['table']}: {row['row']}")
def test_parameters(row):
    model = build_skeleton(Config.fromfile(PROJECT / row["config"]).model)
    assert row["params_here"] == f"{count_published(model) / 1e6:.1f}"
    assert row["params_paper"] in (row["params_here"], "-")


@pytest.mark.skipif(not PAPER.is_file(), reason=f"the paper is not at {PAPER}")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['table']}: {row['row']}")
def test_figures_of_the_paper(row):
    # The text of the paper has lost some of its decimal points.
    text = " ".join(PAPER.read_text().replace(".", "").split())
    figures = row["paper"].replace(" / ", " ")
    if row["table"] in "12":
        figures = f"{row['params_paper']}M {figures}"
    if row["table"] == "7":
        figures = f"{row['params_paper']} {figures}"
    assert f" {figures} ".replace(".", "") in text
