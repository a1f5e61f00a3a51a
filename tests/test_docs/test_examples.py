"""Every example of the pages that is no command: configs, code, annotation files."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import METRICS, MODELS
from mmengine.config import Config

from mmtaformer.ytvis.annotations import read_ytvis_json

from ..helpers.config_files import unused_names
from ..helpers.golden import REPO_ROOT
from ..helpers.small_configs import _write_videos, small_config
from ..test_configs.test_config_runs import train_and_predict
from .pages import DOCS, RUN_PAGES, Block, read_blocks
from .tool_rules import wrong_keys

TAFORMER = "configs/taformer/taformer_r50_4xb4-6e_youtubevis2019.py"
BLOCKS = [block for page in RUN_PAGES for block in read_blocks(page)]
# Not run: text for the eye, and what only Sphinx reads, which test_build builds.
NOT_RUN = {"bash", "text", "{image}", "{toctree}", "{eval-rst}", "{note}", "{include}"}


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_block_has_a_rule(block):
    assert block.language in NOT_RUN or block.language in RULES, (
        f"{block}: no rule of tests/test_docs covers blocks of {block.language!r}"
    )


@pytest.mark.parametrize(
    "block", [b for b in BLOCKS if b.language not in NOT_RUN], ids=str
)
def test_example(block, checkout):
    RULES[block.language](block, checkout)


def run_python(block: Block, checkout) -> None:
    """A config, a part of one, or code."""
    if re.search(r"^(import|from) ", block.text, re.M):
        exec(compile(block.text, str(block), "exec"), {"__name__": "example"})
        return
    text = block.text
    if "_base_" not in text:  # a part of a config
        text = f'_base_ = "{TAFORMER}"\n{text}'
    run_config(text, checkout)


def run_config(text: str, checkout) -> None:
    """Every key has a reader; it learns from a batch and predicts on a video."""
    path = checkout.root / "example.py"
    path.write_text(text)
    cfg = Config.fromfile(path)
    assert unused_names(path) == []
    assert wrong_keys(cfg) == []
    provide_data(cfg, checkout)
    small = small_config(path, checkout.root / "data")
    METRICS.build(small.val_evaluator)
    train_and_predict(small)


def provide_data(cfg: Config, checkout) -> None:
    """Videos of the classes that a config names, and the files that it splits off."""
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        root = checkout.root / loader.dataset.data_root
        if not root.exists():
            for split in ("train", "valid"):
                _write_videos(root, split, loader.dataset.metainfo.classes)
        path = root / loader.dataset.ann_file
        if not path.is_file():
            split = loader.dataset.data_prefix.img_path.partition("/")[0]
            assert (root / f"{split}.json").is_file(), path
            shutil.copy(root / f"{split}.json", path)


def read_annotations(block: Block, checkout) -> None:
    """A file that the data set reads."""
    path = checkout.root / "annotations.json"
    path.write_text(json.dumps(json.loads(block.text)))
    assert read_ytvis_json(str(path))["annotations"]


RULES = {"python": run_python, "json": read_annotations}


@pytest.mark.parametrize(
    "text",
    [
        f'_base_ = "{TAFORMER}"\nmodel = dict(num_querys=3)\n',
        f'_base_ = "{TAFORMER}"\nlearning_rate = 3\n',
        '_base_ = "configs/gone.py"\n',
        '_base_ = "mmtaformer::taformer/gone.py"\n',
        f'_base_ = "{TAFORMER}"\nmodel = dict(bbox_head=dict(num_classes=2))\n',
    ],
)
def test_wrong_configs_fail(text, checkout):
    with pytest.raises((AssertionError, OSError, AttributeError)):
        run_config(text, checkout)


def test_unclosed_and_unnamed_blocks_fail(tmp_path):
    page = tmp_path / "page.md"
    for text in ("```bash\nls\n", "```\nls\n```\n"):
        page.write_text(text)
        with pytest.raises(ValueError, match=r"page\.md:1"):
            read_blocks(page)


def table_after(page: Path, heading: str) -> list[list[str]]:
    """Cells of the first table after a text."""
    text = page.read_text()
    rows = re.search(r"((?:^\|.*\n)+)", text[text.index(heading) :], re.M)[1]
    cells = [
        [c.strip() for c in row.strip("|\n").split("|")] for row in rows.splitlines()
    ]
    return cells[2:]


def test_switches_of_the_ablation_page_exist():
    rows = table_after(DOCS / "ablate.md", "## What can be switched")
    assert len(rows) > 5
    for _, key, values in rows:
        cfg = Config.fromfile(REPO_ROOT / TAFORMER)
        cfg.merge_from_dict({f"model.{key.strip('`')}": 1})
        assert wrong_keys(cfg) == [], key
        for name in re.findall(r"`([A-Z]\w+n)`", values):
            assert MODELS.get(name), name


def test_memory_table_is_what_the_script_computes(load_tool):
    rows = table_after(DOCS / "distributed.md", "Training in float32")
    cells = {name: values for name, *values in rows}["TAFormer, ResNet-50"]
    path = REPO_ROOT / TAFORMER
    peak = load_tool("../docs/memory.py").compute(path, clips=1)
    assert np.isclose(float(cells[0]), peak, rtol=0.05)


def test_prediction_table_is_what_the_script_computes(load_tool):
    rows = table_after(DOCS / "distributed.md", "Prediction of one whole video")
    cells = {name: values for name, *values in rows}["100"]
    tool = load_tool("../docs/memory.py")
    whole = {
        "model.test_cfg.frames_per_chunk": None,
        "model.test_cfg.encode_masks": False,
    }
    for cell, options in zip(cells, ({}, whole), strict=True):
        peak = tool.compute(
            REPO_ROOT / TAFORMER,
            frames=100,
            size=tool.TEST_SIZE,
            test=True,
            options=options,
        )
        assert np.isclose(float(cell), peak, rtol=0.05)


def test_memory_counts_what_is_alive(load_tool):
    counter = load_tool("../docs/memory.py").LiveBytes()
    with counter:
        first = torch.empty(1000, device="meta")
        second = first + 1
        assert counter.peak == 8000
        del first
        view = second[:10]
        third = view.expand(100, 10) * second[0]
        assert counter.peak == 8000
        del second
        fourth = third + 1
    assert counter.peak == 12000 and len(fourth) == len(view) * 10
