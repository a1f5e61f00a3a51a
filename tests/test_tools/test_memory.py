"""The memory that docs/en/distributed.md gives for models on a GPU."""

import re

import numpy as np
import pytest
import torch

from ..helpers.golden import REPO_ROOT

CONFIG = REPO_ROOT / "configs/taformer/taformer_r50_4xb4-6e_youtubevis2019.py"


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("analysis_tools/memory.py")


def row_after(heading, first_cell):
    """Numbers of a row of the first table after a text."""
    page = (REPO_ROOT / "docs/en/distributed.md").read_text()
    text = page[page.index(heading) :]
    row = re.search(rf"^\| {re.escape(first_cell)} \| (.*) \|$", text, re.M)[1]
    return [float(cell) for cell in row.split("|")]


def test_training_table_is_what_the_tool_computes(tool):
    documented = row_after("Training in float32", "TAFormer, ResNet-50")[0]
    assert np.isclose(documented, tool.compute(CONFIG, clips=1), rtol=0.05)


def test_prediction_table_is_what_the_tool_computes(tool):
    documented = row_after("Prediction of one whole video", "100")
    cfg = "model.test_cfg."
    whole = {f"{cfg}frames_per_chunk": None, f"{cfg}encode_masks": False}
    common = dict(frames=100, size=tool.TEST_SIZE, test=True)
    computed = [tool.compute(CONFIG, options=o, **common) for o in ({}, whole)]
    assert np.allclose(documented, computed, rtol=0.05)


def test_what_is_alive_is_counted(tool):
    counter = tool.LiveBytes()
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


def test_command_line(tool, capsys):
    tiny = REPO_ROOT / "configs/taformer/taformer_tiny_synthvis.py"
    tool.main([str(tiny), "--frames", "2", "--size", "64", "96"])
    assert re.fullmatch(r"0\.\d GB, computed\n", capsys.readouterr().out)
    with pytest.raises(SystemExit, match=r"^error: There is no config nowhere\.py"):
        tool.main(["nowhere.py"])
