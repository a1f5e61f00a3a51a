"""The rows of the paper, the configs that stand for them, and the tables."""

import pytest
from mmengine.config import Config

import mmtaformer  # noqa: F401
from mmtaformer.utils.param_count import build_skeleton, count_published
from projects.taformer.paper import PROJECT, README, read_rows, render

ROWS = read_rows()


def test_every_config_of_the_project_is_one_row():
    own = [row for row in ROWS if row.config.is_relative_to(PROJECT)]
    assert sorted(row.config for row in own) == sorted(PROJECT.glob("configs/*.py"))
    for row in own:
        assert row.name.startswith(f"table{row.table}_")
    assert {row.table for row in ROWS} == set(range(1, 8))
    assert all(len(row.figures) == len(row.metrics) for row in ROWS)


@pytest.mark.parametrize(
    "row", [r for r in ROWS if r.params], ids=lambda row: f"{row.table}: {row.label}"
)
def test_parameters_are_the_published_ones(row):
    model = build_skeleton(Config.fromfile(row.config).model)
    assert f"{count_published(model) / 1e6:.1f}" == f"{row.params:.1f}"


def test_last_rows_are_the_headline_model():
    """Trained alike from the same weights, not only of the same parts."""
    headline, *others = (
        Config.fromfile(row.config)
        for row in ROWS
        if row.figures[0] == 48.1 and row.table in (1, 3, 6, 7)
    )
    assert len(others) == 3
    for cfg in others:
        for key in ("model", "load_from", "optim_wrapper", "train_cfg"):
            assert cfg[key] == headline[key], key


def test_rows_start_from_weights_with_their_own_parts():
    """Of Tables 3, 4, 6 and 7; those of one level from SeqFormer's."""
    configs = {r.name: Config.fromfile(r.config) for r in ROWS if r.table > 2}
    for cfg in configs.values():
        source = cfg.load_from.split("/")[1]
        if cfg.model.num_feature_levels == 1:
            assert source.startswith("seqformer_r50_")
        elif source.startswith("table"):
            first = configs[source.removesuffix("_coco-pseudo-clips")]
            assert (first.load_from, first.model) == (cfg.load_from, cfg.model)


def test_tables_of_the_page_are_up_to_date():
    """python -m projects.taformer.paper writes them."""
    text = README.read_text(encoding="utf-8")
    assert render(text, ROWS) == text
    assert all(f"<!-- table {number} -->" in text for number in range(1, 8))


def test_tables_are_replaced():
    row = next(row for row in ROWS if row.table == 7)
    page = "Before\n<!-- table 7 -->\nold\n<!-- end -->\nAfter\n"
    lines = render(page, [row]).splitlines()
    assert lines[0] == "Before" and lines[-1] == "After" and "old" not in lines
    assert lines[4] == (
        "| K_inter 1 | [config](configs/table7_k-inter1.py) | 50.4 | 50.4 | 46.6 | "
        "not trained here | 12 h on 4 A100 |"
    )
