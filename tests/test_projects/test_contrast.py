import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmtaformer.apis import init_model
from projects.taformer.figures import contrast as tool
from projects.taformer.figures.common import run_video


def info_nce(vectors, temperature):
    """Eqs. (7) and (8) of (T, Q, C) vectors, written out."""
    unit = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    terms = []
    for t, own in enumerate(unit):
        for s, other in enumerate(unit):
            if s == t:
                continue
            for i, query in enumerate(own):
                likeness = np.exp(other @ query / temperature)
                terms.append(-math.log(likeness[i] / likeness.sum()))
    return np.mean(terms)


def test_loss_of_clips_is_that_of_the_equations(tiny_config, checkpoint):
    model = init_model(str(tiny_config), str(checkpoint), device="cpu")
    rng = np.random.default_rng(0)
    clips = rng.integers(256, size=(2, 5, 64, 96, 3), dtype=np.uint8)
    expected = []
    for clip in clips:
        box_query = run_video(model, list(clip)).output.box_query
        with torch.inference_mode():
            vectors = model.bbox_head.projector(box_query)[0].double().numpy()
        expected.append(info_nce(vectors, 0.1))
    assert tool.mean_loss(model, clips) == pytest.approx(np.mean(expected), rel=1e-4)


def test_no_two_frames_of_a_mixed_clip_are_of_one_video():
    clips = [np.full((5, 4, 6, 3), 10 * video) for video in range(6)]
    for clip in clips:
        clip += np.arange(5)[:, None, None, None]  # the frame's number
    for first, clip in enumerate(tool.mixed(clips)):
        videos, frames = divmod(clip[:, 0, 0, 0], 10)
        assert frames.tolist() == [0, 1, 2, 3, 4]
        assert videos.tolist() == [(first + t) % 6 for t in range(5)]


def test_videos_that_are_too_short_or_of_another_size_are_left_out(
    synthvis_root, tmp_path
):
    truth = json.loads((synthvis_root / "val.json").read_text())
    frames = str(synthvis_root / "val" / "JPEGImages")
    complete = tool.read_clips(truth, frames, 3)
    assert len(complete) == len(truth["videos"]) == 2
    assert {clip.shape for clip in complete} == {(3, *complete[0].shape[1:])}
    short = truth["videos"][1] | dict(file_names=truth["videos"][1]["file_names"][:2])
    truth["videos"].insert(1, short)
    found = tool.read_clips(truth, frames, 3)
    np.testing.assert_array_equal(found, complete)
    with pytest.raises(tool.UsageError, match="with 99 frames or more: 0"):
        tool.read_clips(truth, frames, 99)
    with pytest.raises(tool.UsageError, match="--num-frames is 1"):
        tool.read_clips(truth, frames, 1)


def test_the_table_has_the_figures_of_each_kind_of_clip(
    tiny_config, checkpoint, val_args, capsys
):
    given = ["--model", "tiny", str(tiny_config), str(checkpoint), "--device", "cpu"]
    tool.main([*val_args, *given, "--num-frames", "3"])
    (row,) = [r for r in capsys.readouterr().out.splitlines() if "tiny" in r]
    cells = [cell.strip() for cell in row.strip("│┃ ").split("│")]
    queries = Config.fromfile(tiny_config).model.num_queries
    assert cells[-1] == f"{math.log(queries):.4f}"
    model = init_model(str(tiny_config), str(checkpoint), device="cpu")
    clips = tool.read_clips(json.loads(Path(val_args[0]).read_text()), val_args[2], 3)
    for cell, shown in zip(cells[1:3], (clips, tool.mixed(clips)), strict=True):
        assert float(cell) == pytest.approx(tool.mean_loss(model, shown), abs=1e-4)


def test_a_model_without_the_loss_is_named(tiny_config, checkpoint, val_args, tmp_path):
    config = Config.fromfile(tiny_config)
    config.model.bbox_head.loss_contrastive = None
    path = tmp_path / "without.py"
    config.dump(path)
    given = ["--model", "plain", str(path), str(checkpoint), "--num-frames", "3"]
    with pytest.raises(SystemExit, match="plain has no contrastive loss"):
        tool.main([*val_args, *given])
