"""The command line of the generator."""

import json

import pytest

from mmtaformer.utils.errors import DataError


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
