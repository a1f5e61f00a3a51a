from itertools import groupby
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope

from mmtaformer.evaluation.own_frames import only_own_frames
from projects.taformer.alone import __main__ as tool
from projects.taformer.alone import videos as data
from projects.taformer.alone.decoder import DecoderTrial
from projects.taformer.alone.encoder import EncoderTrial
from projects.taformer.alone.trial import CONFIG, read_config


def trial(kind=DecoderTrial, task="hidden", seed=0, **options):
    options = {f"model.{key.replace('__', '.')}": v for key, v in options.items()}
    config = read_config(str(CONFIG), options)
    with DefaultScope.overwrite_default_scope("mmdet"):
        return kind(config, task, seed)


def parameters(one):
    return {name: p.detach().clone() for name, p in one.model.named_parameters()}


def test_hidden_objects_are_there_and_not_there_in_short_runs():
    videos = data.make_videos("hidden", 64, np.random.default_rng(0))
    assert videos.signals.shape == (64, 12, 96, 5)
    assert videos.centres.shape == (64, 12, 1, 2)
    for shown in videos.shown.tolist():
        runs = [(there, len(list(run))) for there, run in groupby(shown)][1:-1]
        assert {length for there, length in runs if there} <= {1, 2, 3}
        assert {length for there, length in runs if not there} <= {1, 2}
    assert not videos.signals[~videos.shown].any()
    assert videos.signals[videos.shown][..., 2].amax(dim=1).min() > 0.5


def test_one_frame_of_three_says_which_twin_is_which():
    videos = data.make_videos("twins", 64, np.random.default_rng(0))
    assert videos.centres.shape == (64, 12, 2, 2)
    shown = videos.shown
    assert torch.equal(shown[:, 3:], shown[:, :-3])
    assert (shown[:, :3].sum(dim=1) == 1).all()
    assert not videos.signals[~shown][..., 3:].any()
    # The sum of both names is what every frame says: somebody is there.
    named = videos.signals[shown]
    torch.testing.assert_close(named[..., 3:].sum(-1), named[..., 2])
    assert videos.signals[~shown][..., 2].amax(dim=1).min() > 0.5


@pytest.mark.parametrize("task", data.TASKS)
def test_tokens_say_how_far_away_the_object_is(task):
    videos = data.make_videos(task, 8, np.random.default_rng(1))
    batch, frame = videos.shown.nonzero()[0].tolist()
    centres = videos.centres[batch, frame]
    for token in range(96):
        row, column = divmod(token, 12)
        place = np.array([(column + 0.5) / 12, (row + 0.5) / 8])
        expected = np.zeros(5)
        for index, centre in enumerate(centres.numpy()):
            x, y = place - centre
            near = np.exp(-((1.5 * x) ** 2 + y**2) / 0.03)
            expected[:3] += near * np.array([6 * x, 6 * y, 1])
            if task == "twins":
                expected[3 + index] += near
        found = videos.signals[batch, frame, token].numpy()
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_boxes_stay_in_the_image_and_objects_do_not_jump():
    for task in data.TASKS:
        videos = data.make_videos(task, 64, np.random.default_rng(2))
        assert videos.centres.min() >= 0.15
        assert videos.centres.max() <= 0.85
        assert videos.centres.diff(dim=1).abs().max() < 0.1
        assert (videos.boxes[..., 2:] == torch.tensor(data.OBJECT)).all()


def test_clips_are_in_a_row_or_spread_over_the_video():
    frames = data.training_frames(200, np.random.default_rng(0))
    assert frames.shape == (200, 5)
    assert (frames.diff(dim=1) > 0).all()
    assert frames.min() == 0
    assert frames.max() == 11
    in_a_row = (frames.diff(dim=1) == 1).all(dim=1).float().mean()
    assert 0.4 < in_a_row < 0.6
    videos = data.make_videos("hidden", 200, np.random.default_rng(0))
    clips = videos.select(frames)
    assert torch.equal(clips.frame_ids, frames)
    assert torch.equal(clips.centres[7, 2], videos.centres[7, frames[7, 2]])


def test_ellipses_fill_their_boxes():
    box = torch.tensor([0.3, 0.6, 0.2, 0.3])
    mask = data.draw_ellipses(box.expand(2, 3, 4), (16, 24))
    assert mask.shape == (2, 3, 16, 24)
    for row in range(16):
        for column in range(24):
            x, y = (column + 0.5) / 24, (row + 0.5) / 16
            inside = ((x - 0.3) / 0.1) ** 2 + ((y - 0.6) / 0.15) ** 2 <= 1
            assert mask[1, 2, row, column] == inside


@pytest.mark.parametrize(
    ("kind", "trained", "attention"),
    [
        (
            DecoderTrial,
            {"decoder", "bbox_head", "query_embedding"},
            "decoder.temporal_self_attns.0.attn.in_proj_weight",
        ),
        (
            EncoderTrial,
            {"encoder", "covers"},
            "encoder.layers.0.self_attn.temporal_sampling_offsets.weight",
        ),
    ],
)
def test_training_reaches_its_part_and_is_the_same_again(kind, trained, attention):
    first, second = (trial(kind, "twins", num_queries=3) for _ in range(2))
    before = parameters(first)
    for one in (first, second):
        with DefaultScope.overwrite_default_scope("mmdet"):
            one.train(steps=3, batch=2)
    after, again = parameters(first), parameters(second)
    assert all(torch.equal(after[name], again[name]) for name in after)
    changed = {n.split(".")[0] for n in after if not torch.equal(before[n], after[n])}
    assert trained <= changed
    assert not ({"backbone", "neck", "encoder", "decoder"} - trained) & changed
    assert not torch.equal(before[attention], after[attention])


def test_learning_rates_of_parts_are_those_of_the_config():
    one = trial(EncoderTrial)
    one.optim_wrapper.paramwise_cfg = dict(
        custom_keys={"temporal_sampling_offsets": dict(lr_mult=0.0)}
    )
    before = parameters(one)
    with DefaultScope.overwrite_default_scope("mmdet"):
        one.train(steps=2, batch=2)
    after = parameters(one)
    layer = "encoder.layers.0.self_attn."
    for kind, same in (
        ("temporal_sampling_offsets", True),
        ("sampling_offsets", False),
    ):
        name = f"{layer}{kind}.bias"
        assert torch.equal(before[name], after[name]) == same


@pytest.mark.parametrize("task", data.TASKS)
def test_each_object_is_judged_by_the_best_query_of_its_class(task, monkeypatch):
    one = trial(task=task, num_queries=4)
    clips = data.make_videos(task, 6, np.random.default_rng(10**6))
    count = clips.boxes.size(2)
    boxes = torch.rand(6, 12, 4, 4) * 0.01
    boxes[:, :, [3, 1][:count]] = clips.boxes
    boxes[:, :, 3][~clips.shown] = 0.01  # the first object is lost there
    scores = torch.zeros(6, 4, 2)
    scores[:, 3, 0] = scores[:, 1, 1] = 1.0
    output = SimpleNamespace(boxes=boxes, instance_query=scores)
    monkeypatch.setattr(one.model, "decode", lambda memory, last_only: [output])
    monkeypatch.setattr(
        one.model.bbox_head, "cls_branches", torch.nn.ModuleList([torch.nn.Identity()])
    )
    shown, hidden = one.test(count=6)
    assert shown == pytest.approx(100)
    assert hidden == pytest.approx(50 if task == "twins" else 0, abs=0.5)


@pytest.mark.parametrize("task", data.TASKS)
def test_the_encoder_is_judged_by_the_tokens_it_says_are_covered(task, monkeypatch):
    one = trial(EncoderTrial, task)
    clips = data.make_videos(task, 4, np.random.default_rng(0))
    covered = data.draw_ellipses(clips.boxes, (8, 12))
    found = covered.clone()
    found[:, :, 0][~clips.shown] = 0  # the first object is lost there
    found[0, 0] = 1  # everything is said to be covered
    monkeypatch.setattr(one, "_logits", lambda clips, rng: found - 0.5)
    ious = one.ious(clips, None)
    assert ious.shape == clips.boxes.shape[:3]
    torch.testing.assert_close(ious[0, 0], covered[0, 0].mean(dim=(-2, -1)))
    assert (ious[1:, :, 0] == clips.shown[1:]).all()
    assert (ious[1:, :, 1:] == 1).all()


def test_the_encoder_takes_what_is_hidden_from_other_frames():
    """A few steps are enough to find objects where they are not shown."""
    one = trial(EncoderTrial)
    with DefaultScope.overwrite_default_scope("mmdet"):
        one.train(steps=80)
    shown, hidden = one.test(count=16)
    assert shown > 60
    assert hidden > 15
    with only_own_frames(one.model, one.temporal_layers):
        assert one.test(count=16)[1] < hidden / 3


def test_the_table_has_a_row_for_every_trial(capsys):
    given = ["decoder", "--tasks", "hidden", "--seeds", "4", "5", "--steps", "2"]
    attention = "model.decoder.temporal_self_attn"
    tool.main([*given, "--cfg-options", f"{attention}.frame_index=video"])
    rows = [r for r in capsys.readouterr().out.splitlines() if "hidden │" in r]
    cells = [[c.strip() for c in row.strip("│┃ ").split("│")] for row in rows]
    assert [row[:2] for row in cells] == [["hidden", "4"], ["hidden", "5"]]
    for row in cells:
        assert all(0 <= float(figure) <= 100 for figure in row[2:])


def test_an_option_without_a_place_is_named():
    wrong = ["encoder", "--cfg-options", "extra.num_layers=2"]
    with pytest.raises(SystemExit, match="nothing reads .extra."):
        tool.main(wrong)
