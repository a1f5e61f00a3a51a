import json

import pytest

from ..helpers import toy
from ..helpers.inference import small_config, write_model

LEFT, RIGHT, NONE = toy.rectangle(0, 0, 10, 10), toy.rectangle(25, 0, 35, 10), None


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("analysis_tools/eval_online.py")


def switches(tool, tracks, length=4):
    """Of tracks (score, masks) on two instances that stay where they are."""
    truth = {
        "annotations": [
            toy.annotation(i, 0, 5, [mask] * length)
            for i, mask in enumerate((LEFT, RIGHT))
        ]
    }
    results = [
        toy.entry(0, 5, score, masks) | {"track_id": number}
        for number, (score, masks) in enumerate(tracks)
    ]
    return tool.count_switches(toy.video(0, length), truth, results, 0.3)


def test_identity_switches_are_counted_as_clear_mot_does(tool):
    steady = [(0.9, [LEFT] * 4), (0.9, [RIGHT] * 4)]
    swapped = [(0.9, [LEFT, LEFT, RIGHT, RIGHT]), (0.9, [RIGHT, RIGHT, LEFT, LEFT])]
    broken = [(0.9, [LEFT, NONE, NONE, NONE]), (0.9, [NONE, NONE, LEFT, LEFT])]
    paused = [(0.9, [LEFT, NONE, NONE, LEFT])]
    weak = [(0.9, [LEFT, LEFT, NONE, NONE]), (0.1, [NONE, NONE, LEFT, LEFT])]
    expected = {0: (steady, paused, weak, []), 1: (broken,), 2: (swapped,)}
    for count, cases in expected.items():
        for tracks in cases:
            assert switches(tool, tracks) == count


def test_a_line_for_every_mode(tool, synthvis_root, tmp_path, capsys):
    config, checkpoint = write_model(tmp_path)
    cfg = small_config()
    cfg.test_dataloader.dataset.update(
        data_root=str(synthvis_root),
        ann_file="val.json",
        data_prefix=dict(img_path="val/JPEGImages"),
        metainfo=dict(classes=(first_class(synthvis_root),)),
    )
    cfg.dump(config)
    tool.main([str(config), str(checkpoint), "--clip-length", "3", "--overlap", "1"])
    output = capsys.readouterr().out
    for mode in ("whole", "online 3", "no returns", "embeddings"):
        assert mode in output


def first_class(root):
    return json.loads((root / "val.json").read_text())["categories"][0]["name"]
