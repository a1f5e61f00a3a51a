"""What is skipped, resumed and repeated, with tools that only pretend to work."""

import fcntl
import json
import statistics
import sys
from pathlib import Path

import ablation_runs
import pytest
from ablation_rows import CONFIG_DIR
from ablation_runs import (
    RunBusy,
    RunFailed,
    build_settings,
    check_settings,
    execute,
    existing_runs,
    find_run,
    mean_and_std,
    run_command,
)

from mmtaformer.utils.launch import UsageError

from .stubs import StubTools, write_truth

CONFIG = "tiny_table3_st-enc"


@pytest.fixture
def settings(tmp_path):
    write_truth(tmp_path / "data")
    path = CONFIG_DIR / f"{CONFIG}.py"
    return build_settings(path, 3, tmp_path / "data", max_epochs=4)


@pytest.fixture
def run(tmp_path):
    return find_run(tmp_path / "work", CONFIG, 3)


@pytest.fixture
def tools(monkeypatch):
    stub = StubTools()
    monkeypatch.setattr(ablation_runs, "run_command", stub)
    return stub


def test_settings(settings, tmp_path):
    assert settings.randomness == dict(seed=3)
    assert settings.train_cfg.max_epochs == 4 < settings.train_cfg.val_begin
    assert settings.param_scheduler[0].end == 4
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        assert settings[loader].dataset.data_root == str(tmp_path / "data")
    assert settings.test_evaluator.ann_file == str(tmp_path / "data" / "val.json")
    own = build_settings(CONFIG_DIR / f"{CONFIG}.py", 0, tmp_path)
    assert own.param_scheduler[0].end == own.train_cfg.max_epochs
    options = {"model.num_queries": 9, "train_dataloader.batch_size": 2}
    other = build_settings(CONFIG_DIR / f"{CONFIG}.py", 0, tmp_path, None, options)
    assert (other.model.num_queries, other.train_dataloader.batch_size) == (9, 2)


def test_complete_run(run, settings, tools):
    assert run.state() == "not started" and run.read_record() is None
    execute(run, settings)
    assert tools.calls == [("train", CONFIG, 3), ("test", CONFIG, 3)]
    train, test = tools.commands
    assert train[:2] == [sys.executable, str(ablation_runs.TOOLS / "train.py")]
    assert "--resume" in train and str(run.folder / "config.py") in (train[2], test[2])
    assert test[3] == str(run.folder / "train" / "epoch_4.pth")
    record = run.read_record()
    assert run.state() == "complete"
    assert record["metrics"]["AP"] == pytest.approx(1)
    assert record["seconds"] == dict(train=60.0, test=6.0)
    assert (record["seed"], record["config"]) == (3, CONFIG)
    execute(run, settings)
    assert len(tools.calls) == 2


@pytest.mark.parametrize("stage", ["train", "test"])
def test_failure_is_kept_until_it_is_mended(run, settings, tools, stage):
    tools.failing = {(stage, CONFIG, 3)}
    with pytest.raises(RunFailed, match=f"{stage} ended with code 1"):
        execute(run, settings)
    assert run.state().startswith(f"failed: {stage} ended")
    tools.failing = set()
    before = len(tools.calls)
    execute(run, settings)
    # What was done before the failure is not done again.
    again = [name for name, *_ in tools.calls[before:]]
    assert again == (["train", "test"] if stage == "train" else ["test"])
    assert run.state() == "complete" and run.read_record()["seconds"]["test"] == 6


def test_half_written_checkpoint_is_no_end_of_training(run, settings, tools):
    """The tool notes a checkpoint after it has written all of it."""
    folder = run.folder / "train"
    folder.mkdir(parents=True)
    (folder / "epoch_4.pth").write_text("half")
    (folder / "last_checkpoint").write_text(str(folder / "epoch_3.pth"))
    execute(run, settings)
    assert [name for name, *_ in tools.calls] == ["train", "test"]


def test_training_that_ends_early_is_a_failure(run, settings, tools):
    tools.epochs = 2
    with pytest.raises(RunFailed, match="training ended early; see .*train.log"):
        execute(run, settings)
    assert [name for name, *_ in tools.calls] == ["train"]


def test_results_that_cannot_be_evaluated(run, settings, tools):
    tools.entries = [{"video_id": 99}]
    with pytest.raises(RunFailed, match="lacks category_id"):
        execute(run, settings)


def test_other_settings_are_refused(run, settings, tools, tmp_path):
    check_settings(run, settings)
    execute(run, settings)
    check_settings(run, settings)
    other = build_settings(CONFIG_DIR / f"{CONFIG}.py", 3, tmp_path / "data", 5)
    with pytest.raises(UsageError, match=r"made with other settings \(.*was 4 and is"):
        check_settings(run, other)


def test_a_run_that_is_worked_on_is_left_alone(run, settings, tools):
    run.folder.mkdir(parents=True)
    with (run.folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(RunBusy):
            execute(run, settings)
    assert tools.calls == []
    assert not run.failure_path.exists()


def test_existing_runs(tmp_path):
    for name in ("b/seed_10", "b/seed_9", "a/seed_0", "a/seed_x", "a/other"):
        (tmp_path / name).mkdir(parents=True)
    found = [(run.config, run.seed) for run in existing_runs(tmp_path)]
    assert found == [("a", 0), ("b", 9), ("b", 10)]


def test_mean_and_std():
    values = [31.0, 33.5, 30.1]
    mean, std = mean_and_std(values)
    assert mean == pytest.approx(sum(values) / 3)
    assert std == pytest.approx(
        (sum((value - sum(values) / 3) ** 2 for value in values) / 2) ** 0.5
    )
    assert std == pytest.approx(statistics.stdev(values))
    assert mean_and_std([4.0]) == (4.0, None)


def test_commands_are_logged_and_timed(tmp_path, monkeypatch):
    monkeypatch.setattr(ablation_runs, "TICK", 0.05)
    command = [sys.executable, "-c", "import time; print('hello'); time.sleep(0.2)"]
    with (tmp_path / "lock").open("w") as lock:
        run_command(command, tmp_path, "train", lock)
        first = float((tmp_path / "train_seconds.txt").read_text())
        run_command(command, tmp_path, "train", lock)
        second = float((tmp_path / "train_seconds.txt").read_text())
        assert 0.2 <= first < second - 0.19
        assert (tmp_path / "train.log").read_text() == "hello\n" * 2
        with pytest.raises(RunFailed, match=r"test ended with code 3; see .*test.log"):
            run_command([sys.executable, "-c", "exit(3)"], tmp_path, "test", lock)


def test_an_interruption_ends_the_command(tmp_path, monkeypatch):
    """And what it took until then is counted."""
    monkeypatch.setattr(ablation_runs, "TICK", 0.05)
    waits, wait = [], ablation_runs._wait

    def interrupted(process):
        waits.append(process)
        if len(waits) == 3:
            raise KeyboardInterrupt
        return wait(process)

    monkeypatch.setattr(ablation_runs, "_wait", interrupted)
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    with (tmp_path / "lock").open("w") as lock, pytest.raises(KeyboardInterrupt):
        run_command(command, tmp_path, "train", lock)
    assert waits[0].returncode is not None
    assert float((tmp_path / "train_seconds.txt").read_text()) > 0.05


def test_record_is_plain_json(run, settings, tools):
    execute(run, settings)
    record = json.loads(Path(run.folder, "record.json").read_text())
    assert set(record["metrics"]) == {"AP", "AP50", "AP75", "AR1", "AR10"}
