"""The rows of the ablation against the paper, the README and the large configs."""

import itertools
import re

import pytest
from ablation_rows import CONFIG_DIR, ROWS, TITLES, select_rows, unique_configs
from mmengine.config import Config

from mmtaformer.utils.launch import UsageError

from ..helpers.config_files import CONFIGS, unknown_keys, unused_names
from ..helpers.golden import REPO_ROOT
from .conftest import PROJECT

PAPER = REPO_ROOT.parent / "shared/paper/taformer.txt"
IDS = [row.name for row in ROWS]
FULL = next(row for row in ROWS if row.name == "table3_st-enc_ta-dec_cl")


def differences(node, other, where=""):
    """Dotted keys in which two configs differ."""
    if isinstance(node, dict) and isinstance(other, dict):
        for key in node.keys() | other.keys():
            yield from differences(node.get(key), other.get(key), f"{where}.{key}")
    elif node != other:
        yield where


def model_of(path):
    return Config.fromfile(path).model.to_dict()


def test_tables_are_complete():
    assert [(row.table, row.name[5]) for row in ROWS] == [
        (table, str(table))
        for table, count in ((3, 4), (4, 3), (6, 3))
        for _ in [0] * count
    ]
    assert set(TITLES) == {row.table for row in ROWS}
    large = {p.stem for p in (PROJECT / "configs").glob("table[346]_*.py")}
    assert {row.name for row in ROWS} == large


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_figures_are_those_of_the_readme(row):
    text = (PROJECT / "README.md").read_text()
    (line,) = re.findall(rf"^.*\(configs/{re.escape(row.name)}\.py\).*$", text, re.M)
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[0] == row.label
    assert cells[4] == " / ".join(f"{figure:.1f}" for figure in row.paper)


@pytest.mark.skipif(not PAPER.is_file(), reason=f"the paper is not at {PAPER}")
@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_figures_are_those_of_the_paper(row):
    # The text of the paper has lost some of its decimal points.
    text = " ".join(PAPER.read_text().replace(".", "").split())
    figures = " ".join(f"{figure:.1f}".replace(".", "") for figure in row.paper)
    assert f" {figures} " in text


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_small_config_changes_what_the_row_changes(row):
    """Against the full model, the same keys differ as in the paper's size."""
    large = [PROJECT / "configs" / f"{name}.py" for name in (row.name, FULL.name)]
    small = [row.config_path, FULL.config_path]
    changed = [set(differences(model_of(a), model_of(b))) for a, b in (large, small)]
    assert changed[0] == changed[1]
    assert bool(changed[0]) == (row.config != FULL.config)


def test_rows_share_a_config_when_their_models_are_the_same():
    large = {row.name: model_of(PROJECT / "configs" / f"{row.name}.py") for row in ROWS}
    for one, other in itertools.combinations(ROWS, 2):
        alike = large[one.name] == large[other.name]
        assert alike == (one.config == other.config), (one.name, other.name)
    assert len(unique_configs(ROWS)) == 7


def test_configs():
    paths = sorted(CONFIG_DIR.glob("*.py"))
    assert {path.stem for path in paths} == set(unique_configs(ROWS))
    assert not {path.stem for path in paths} & {
        path.stem for path in CONFIGS if path not in paths
    }
    for path in paths:
        assert len(path.read_text().splitlines()) < 15
        assert unused_names(path) == []
        assert unknown_keys(Config.fromfile(path)) == []


def test_selection():
    assert select_rows() == list(ROWS)
    assert {row.table for row in select_rows(tables=[4, 6])} == {4, 6}
    assert [row.name for row in select_rows(names=["table6_cl"])] == ["table6_cl"]
    with pytest.raises(UsageError, match=r"no row tiny; choose of table3_baseline,"):
        select_rows(names=["tiny"])
    with pytest.raises(UsageError, match=r"none of the rows table6_cl is in tables"):
        select_rows(tables=[3], names=["table6_cl"])
