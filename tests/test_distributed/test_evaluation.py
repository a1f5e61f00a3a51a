"""tools/dist_test.sh: every video is predicted, gathered and counted once."""

import json

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmtaformer.evaluation import evaluate_ytvis
from mmtaformer.synthvis import write_synthvis

from ..helpers.own_annotations import annotate_like
from .ranks import free_port, start_script, wait_for

NUM_VIDEOS = 3


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    """Videos that two processes cannot share evenly."""
    root = tmp_path_factory.mktemp("uneven")
    write_synthvis(root, "val", NUM_VIDEOS, 4, (96, 64), 1, "easy")
    return root


@pytest.fixture(scope="module")
def checkpoint(tiny_config, split):
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(Config.fromfile(tiny_config).model)
    model.init_weights()
    path = split / "model.pth"
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)
    return path


def options(split, out):
    """Arguments of tools/test.py on these videos, with the results into a folder."""
    ann_file = split / "val.json"
    return [
        *("--work-dir", str(out / "work"), "--out", str(out / "results.json")),
        "--cfg-options",
        f"test_dataloader.dataset.data_root={split}/",
        *("test_dataloader.num_workers=0", f"test_evaluator.ann_file={ann_file}"),
    ]


def figures_of(out):
    """What a test run writes down."""
    (path,) = out.glob("work/*/*.json")
    figures = json.loads(path.read_text())
    return {key: value for key, value in figures.items() if "youtube_vis" in key}


def test_two_processes_measure_what_one_does(
    load_tool, tiny_config, split, checkpoint, tmp_path
):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in each of the two processes
    argv = [str(tiny_config), str(checkpoint)]
    load_tool("test.py").main([*argv, *options(split, tmp_path / "one")])
    torch.set_num_threads(threads)
    results = json.loads((tmp_path / "one" / "results.json").read_text())
    annotate_like(results, split / "val.json")
    expected = evaluate_ytvis(str(split / "val.json"), results)
    assert 0 < expected["AP"] < 1

    log, drawn = tmp_path / "log", tmp_path / "drawn"
    arguments = [*argv, 2, "--show-dir", drawn, *options(split, tmp_path / "two")]
    script = start_script("dist_test.sh", *arguments, log=log, PORT=free_port())
    assert wait_for(script) == [0], log.read_text()
    assert json.loads((tmp_path / "two" / "results.json").read_text()) == results
    assert len(list(drawn.glob("*.mp4"))) == NUM_VIDEOS  # by both processes
    figures = figures_of(tmp_path / "two")
    assert len(figures) >= 6
    for key, value in figures.items():
        assert value == expected[key.removeprefix("youtube_vis/")], key
