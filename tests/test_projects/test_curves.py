import json

import numpy as np
import pytest

from mmtaformer.utils.launch import UsageError
from projects.taformer.figures import curves

from ..helpers.figure_files import is_written


def write_log(work_dir, stamp, records, tail=""):
    path = work_dir / stamp / "vis_data" / "scalars.json"
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(r) + "\n" for r in records) + tail)


def train(step, loss):
    return {"lr": 0.1, "loss": loss, "loss_cls": loss / 2, "d0.loss_cls": 9.0} | {
        "epoch": 1,
        "step": step,
        "time": 0.3,
    }


def val(epoch, ap):
    return {"youtube_vis/AP": ap, "time": 0.1, "step": epoch}


@pytest.fixture
def work_dirs(tmp_path):
    """A run that was interrupted in its second epoch and resumed, and another."""
    first, second = tmp_path / "first", tmp_path / "second"
    half = '{"loss": 1.0, "st'
    write_log(first, "20260101_1", [train(1, 8.0), val(1, 0.1), train(2, 6.0)], half)
    write_log(first, "20260101_2", [train(2, 5.0), train(3, 4.0), val(2, 0.3)])
    write_log(second, "20260101_1", [train(1, 7.0), train(2, 3.0)])
    return [str(first), str(second)]


def test_log_of_a_resumed_run(work_dirs, tmp_path):
    log = curves.read_log(tmp_path / "first")
    assert log["loss"] == [(1, 8.0), (2, 5.0), (3, 4.0)]
    assert log["youtube_vis/AP"] == [(1, 0.1), (2, 0.3)]
    assert [value for _, value in log["time"]] == [0.3, 0.3, 0.3]


def test_log_of_a_training_that_was_started_again(tmp_path):
    write_log(tmp_path, "20260101_1", [train(1, 8.0), train(2, 6.0), train(3, 5.0)])
    write_log(tmp_path, "20260101_2", [train(2, 7.0)])
    assert curves.read_log(tmp_path)["loss"] == [(1, 8.0), (2, 7.0)]


def test_curves(work_dirs, tmp_path):
    logs = {n: curves.read_log(tmp_path / n) for n in ("first", "second")}
    figure = curves.draw_figure(logs)
    assert [ax.get_title() for ax in figure.axes] == ["loss", "loss_cls", "AP"]
    labels = [ax.get_xlabel() for ax in figure.axes]
    assert labels == ["iteration", "iteration", "epoch"]
    lines = [line.get_xydata() for line in figure.axes[1].lines]
    assert np.array_equal(lines[0], [(1, 4.0), (2, 2.5), (3, 2.0)])
    assert np.array_equal(lines[1], [(1, 3.5), (2, 1.5)])
    assert [len(line.get_xdata()) for line in figure.axes[2].lines] == [2, 0]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["first", "second"]


def test_command_line(work_dirs, tmp_path):
    prefix = tmp_path / "out" / "curves"
    options = ["--names", "A", "B", "--keys", "lr", "--out", str(prefix)]
    curves.main([*work_dirs, *options])
    assert is_written(prefix)


def test_errors(work_dirs, tmp_path):
    with pytest.raises(SystemExit, match=r"^error: there is no log .*nowhere"):
        curves.main([str(tmp_path / "nowhere")])
    with pytest.raises(SystemExit, match=r"^error: no run has logged los; choose of"):
        curves.main([*work_dirs, "--keys", "los"])
    with pytest.raises(SystemExit):
        curves.main([*work_dirs, "--names", "A"])
    with pytest.raises(UsageError):
        curves.read_log(tmp_path)
