"""Examples of the pages that are no commands: configs, code, annotation files."""

import json
import re

import pytest
from mmdet.registry import MODELS
from mmengine.config import Config

from mmtaformer.ytvis.annotations import read_ytvis_json

from ..helpers.config_files import unknown_keys, unused_names
from ..helpers.golden import REPO_ROOT
from ..helpers.pages import DOCS, PAGES, read_blocks
from ..helpers.small_configs import small_model

TAFORMER = "configs/taformer/taformer_r50_4xb4-6e_youtubevis2019.py"
BLOCKS = [block for page in PAGES for block in read_blocks(page)]


def wrong_keys(cfg):
    """Keys without a reader, except those that mmengine adds for packages."""
    return [key for key in unknown_keys(cfg) if not key.endswith("._scope_")]


def blocks(language):
    return pytest.mark.parametrize(
        "block", [b for b in BLOCKS if b.language == language], ids=str
    )


@blocks("python")
def test_python(block, tmp_path, monkeypatch):
    """Code runs; of a config or a part of one every key has a reader."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(REPO_ROOT / "configs")
    code = re.search(r"^(import|from) ", block.text, re.M)
    if re.search(r"my\.mp4|inferencer|VISInferencer|data/cells/val", block.text):
        # Of what needs the reader's files, names are looked up and no more.
        compile(block.text, str(block), "exec")
        imports = re.findall(r"^(?:import|from) .*$", block.text, re.M)
        exec("\n".join(imports), {"__name__": "example"})
        return
    if code:
        exec(compile(block.text, str(block), "exec"), {"__name__": "example"})
        return
    text = block.text
    if "_base_" not in text:  # a part of a config
        text = f'_base_ = "{TAFORMER}"\n{text}'
    check_config(text, tmp_path / "example.py")


def check_config(text, path):
    path.write_text(text)
    cfg = Config.fromfile(path)
    assert unused_names(path) == []
    assert wrong_keys(cfg) == []
    small_model(cfg.model)
    MODELS.build(cfg.model)


@blocks("json")
def test_json(block, tmp_path):
    """An annotation file that the data set reads."""
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(json.loads(block.text)))
    assert read_ytvis_json(str(path))["annotations"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("model = dict(num_querys=3)", "num_querys"),
        ("learning_rate = 3", "learning_rate"),
    ],
)
def test_wrong_configs_fail(line, message, tmp_path):
    text = f'_base_ = "{REPO_ROOT / TAFORMER}"\n{line}\n'
    with pytest.raises(AssertionError, match=message):
        check_config(text, tmp_path / "example.py")


def test_switches_of_the_ablation_page_exist():
    text = (DOCS / "ablate.md").read_text().partition("## What can be switched")[2]
    rows = re.findall(r"^\| [^|]+ \| `([\w.]+)` \| ([^|]+) \|$", text, re.M)
    assert len(rows) > 5
    for key, values in rows:
        cfg = Config.fromfile(REPO_ROOT / TAFORMER)
        cfg.merge_from_dict({f"model.{key}": 1})
        assert wrong_keys(cfg) == [], key
        for name in re.findall(r"`([A-Z]\w+n)`", values):
            assert MODELS.get(name), name


def test_unclosed_and_unnamed_blocks_fail(tmp_path):
    page = tmp_path / "page.md"
    for text in ("```bash\nls\n", "```\nls\n```\n"):
        page.write_text(text)
        with pytest.raises(ValueError, match=r"page\.md:1"):
            read_blocks(page)
