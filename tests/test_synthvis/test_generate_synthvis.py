"""The command line of the generator."""

import json

import pytest
from mmengine.config import Config

from mmtaformer.synthvis import DIFFICULTIES
from mmtaformer.utils.errors import DataError

from ..helpers.golden import REPO_ROOT


@pytest.fixture
def run(load_tool, tmp_path, capsys):
    tool = load_tool("dataset_converters/generate_synthvis.py")

    def main(*arguments):
        small = "--num-train-videos 2 --num-val-videos 1 --num-frames 2 --size 64 48"
        fixed = ["--out", str(tmp_path), "--workers", "1", *small.split()]
        tool.main([*fixed, *arguments])
        return capsys.readouterr().out

    return main


def test_generates_then_skips(run, tmp_path):
    out = run("--seed", "3", "--difficulty", "easy")
    assert "2 videos of 2 frames, 64x48 pixels, easy" in out.replace("\n", " ")
    for split, count in (("train", 2), ("val", 1)):
        content = json.loads((tmp_path / f"{split}.json").read_text())
        assert len(content["videos"]) == count
        assert content["info"]["options"]["seed"] == 3
        video = content["videos"][0]
        assert (video["width"], video["height"], video["length"]) == (64, 48, 2)
    assert run("--seed", "3", "--difficulty", "easy").count("skipped") == 2


def test_nothing_is_generated_when_one_split_is_in_the_way(run, tmp_path):
    run("--splits", "val")
    with pytest.raises(DataError, match="seed is 0, not 1"):
        run("--seed", "1")
    assert not (tmp_path / "train.json").exists()
    run("--seed", "1", "--overwrite")
    assert (tmp_path / "train.json").exists()


@pytest.mark.parametrize("level", DIFFICULTIES)
def test_what_is_generated_is_what_the_configs_take(load_tool, level):
    args = load_tool("dataset_converters/generate_synthvis.py").parse_args(
        ["--difficulty", level]
    )
    weakens = DIFFICULTIES[level].dropout is not None
    config = f"synthvis_{level}" if weakens else "synthvis"
    path = REPO_ROOT / f"configs/_base_/datasets/{config}.py"
    assert tuple(args.size) == tuple(Config.fromfile(path).resize.scale)
    assert args.num_frames == (24 if level == "deform" else 12)


def test_options_go_before_defaults(load_tool):
    options = ["--size", "64", "48", "--num-frames", "5", "--num-train-videos", "7"]
    args = load_tool("dataset_converters/generate_synthvis.py").parse_args(
        ["--difficulty", "deform", *options]
    )
    assert (args.size, args.num_frames, args.num_train_videos) == ([64, 48], 5, 7)
