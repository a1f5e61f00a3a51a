"""Counts of frames, from a model whose parts are called as TAFormer's are."""

import io
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mmtaformer.engine import ProgressHook
from mmtaformer.engine.hooks import progress_hook

LENGTHS = [6, 2]


class FramesSecond(nn.Module):
    def forward(self, num_frames):
        return torch.zeros(1, num_frames)


class FramesFirst(nn.Module):
    def forward(self, num_frames):
        return (torch.zeros(num_frames, 3), torch.zeros(num_frames, 3))


class Screen(io.StringIO):
    def __init__(self, is_terminal):
        super().__init__()
        self.is_terminal = is_terminal

    def isatty(self):
        return self.is_terminal


class Videos:
    def __len__(self):
        return len(LENGTHS)

    def get_len_per_video(self, index):
        return LENGTHS[index]


def model():
    parts = dict(
        backbone=FramesFirst(),
        encoder=nn.ModuleDict(
            {"layers": nn.ModuleList([FramesSecond(), FramesSecond()])}
        ),
        bbox_head=nn.ModuleDict({"mask_head": FramesSecond()}),
    )
    return nn.ModuleDict(parts)


@pytest.fixture
def runner():
    said = []
    dataset = Videos()
    return SimpleNamespace(
        model=model(),
        iter=0,
        test_dataloader=SimpleNamespace(dataset=dataset),
        val_dataloader=SimpleNamespace(dataset=dataset),
        logger=SimpleNamespace(info=said.append),
        said=said,
    )


@pytest.fixture
def clock(monkeypatch):
    """A clock that is a second later at every look."""
    seconds = iter(range(1000))
    monkeypatch.setattr(progress_hook.time, "monotonic", lambda: next(seconds))
    monkeypatch.setattr(
        progress_hook.sys.stderr, "isatty", lambda: False, raising=False
    )


def test_first_loss_is_said_once(runner):
    hook = ProgressHook()
    losses = {"d0.loss_cls": 1.0, "loss_cls": 2.0, "loss_iou": 3.0, "loss": 6.0}
    losses = {name: torch.tensor(v, requires_grad=True) for name, v in losses.items()}
    hook.after_train_iter(runner, 0, None, losses)
    hook.after_train_iter(runner, 1, None, losses)
    assert runner.said == ["Iteration 1:  loss 6  cls 3  box 3"]


@pytest.mark.parametrize("loop", ["val", "test"])
def test_time_left_inside_of_a_video(runner, clock, loop):
    """Every part has its share, whatever the chunks are."""
    hook = ProgressHook(interval=0)
    getattr(hook, f"before_{loop}_epoch")(runner)
    parts = runner.model
    for frames in (4, 2):
        parts["backbone"](frames)
    for layer in parts["encoder"]["layers"]:
        layer(6)
    for frames in (1, 5):
        parts["bbox_head"]["mask_head"](frames)
    done = [float(line.partition(" of ")[0]) for line in runner.said]
    assert done == [1, 2, 3, 4, 4, 6]
    assert runner.said[-1] == "6 of 8 frames predicted, 0:00:02 left"
    getattr(hook, f"after_{loop}_iter")(runner, 0, None, [range(6)])
    getattr(hook, f"after_{loop}_iter")(runner, 1, None, [range(2)])
    assert runner.said[-1] == "8 of 8 frames predicted, 0:00:00 left"
    getattr(hook, f"after_{loop}_epoch")(runner)
    before = len(runner.said)
    parts["backbone"](4)
    assert len(runner.said) == before, "the model is watched after the end"


def test_other_models_count_whole_videos(runner, clock):
    runner.model = nn.Linear(1, 1)
    hook = ProgressHook(interval=0)
    hook.before_test_epoch(runner)
    hook.after_test_iter(runner, 0, None, [range(6)])
    assert runner.said == ["6 of 8 frames predicted, 0:00:00 left"]


def test_terminal_gets_a_bar(runner, monkeypatch):
    monkeypatch.setattr(progress_hook.sys, "stderr", Screen(True))
    hook = ProgressHook(interval=0)
    hook.before_test_epoch(runner)
    hook.after_test_iter(runner, 0, None, [range(6)])
    assert hook._progress._bar.tasks[0].completed == 6
    hook.after_test_epoch(runner)
    assert runner.said == []


def test_other_data_sets_are_not_counted(runner):
    runner.test_dataloader.dataset = [1, 2]
    hook = ProgressHook(interval=0)
    hook.before_test_epoch(runner)
    hook.after_test_iter(runner, 0, None, [range(6)])
    hook.after_test_epoch(runner)
    assert runner.said == []
