"""The command line of the ablation and its report."""

import fcntl
import json
import re
import subprocess
import threading

import ablation
import ablation_report
import ablation_runs
import pytest
from ablation_rows import ROWS, unique_configs

from ..helpers.golden import REPO_ROOT
from .stubs import StubTools, write_truth

CONFIGS = unique_configs(ROWS)
SHRINK = [
    "model.num_queries=5",
    "model.backbone.base_channels=8",
    "model.neck.in_channels=[16,32,64]",
    "train_dataloader.batch_size=2",
    "train_dataloader.num_workers=0",
    "test_dataloader.num_workers=0",
]
ONE_VIDEO_OF_TWO = 51 / 101  # precision 1 up to a recall of one half


@pytest.fixture
def tools(monkeypatch):
    stub = StubTools()
    monkeypatch.setattr(ablation_runs, "run_command", stub)
    return stub


@pytest.fixture
def args(tmp_path, monkeypatch):
    """Options for toy data; plots are not drawn, which is what takes long."""
    monkeypatch.setattr(ablation_report, "save_figure", lambda figure, prefix: None)
    monkeypatch.setattr(ablation_report, "plot", lambda results: None)
    write_truth(tmp_path / "data")
    folders = ["--data-root", str(tmp_path / "data"), "--work-dir", str(tmp_path / "w")]
    return [*folders, "--max-epochs", "2"]


def table(text, number):
    """Cells of the rows of a table of the report."""
    section = re.search(rf"^## Table {number}.*?(?=^## |^!|\Z)", text, re.M | re.S)
    lines = [line for line in section.group().splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_everything(args, tools, tmp_path):
    """Seven trainings per seed fill ten rows; a second time nothing is done."""
    tools.misses = {1}
    ablation.main([*args, "--seeds", "0", "1"])
    assert [call for call in tools.calls if call[0] == "train"] == [
        ("train", config, seed) for seed in (0, 1) for config in CONFIGS
    ]
    assert len(tools.calls) == 2 * 7 * 2
    text = (tmp_path / "w" / "ablation.md").read_text()
    assert [len(table(text, number)) for number in (3, 4, 6)] == [4, 3, 3]
    cells = [cells for number in (3, 4, 6) for cells in table(text, number)]
    for row, (label, paper, here, seeds, minutes) in zip(ROWS, cells, strict=True):
        assert label == row.label
        assert paper == " / ".join(f"{figure:.1f}" for figure in row.paper)
        # Of two values the standard deviation is the distance over sqrt(2).
        mean = (100 + 100 * ONE_VIDEO_OF_TWO) / 2
        std = (100 - 100 * ONE_VIDEO_OF_TWO) / 2**0.5
        assert here == " / ".join([f"{mean:.1f} ± {std:.1f}"] * 3)
        assert seeds == "0: 100.0, 1: 50.5"
        assert minutes == "1.1 min"
    assert "14 complete runs of 2 epochs" in text and "Not complete" not in text
    ablation.main([*args, "--seeds", "0", "1"])
    assert len(tools.calls) == 2 * 7 * 2


def test_a_failure_does_not_stop_the_others(args, tools, tmp_path, capsys):
    tools.failing = {("train", "tiny_table3_st-enc", 0)}
    options = ["--tables", "3", "--seeds", "0"]
    with pytest.raises(SystemExit, match=r"1 of 4 runs failed.*\n.*st-enc, seed 0: tr"):
        ablation.main([*args, *options])
    assert len(tools.calls) == 1 + 2 * 3
    text = (tmp_path / "w" / "ablation.md").read_text()
    assert "- tiny_table3_st-enc, seed 0: failed: train ended with code 1" in text
    states = [row[2] for row in table(text, 3)]
    assert states == ["100.0 / 100.0 / 100.0", "not run", *states[:1] * 2]
    # Rows of other tables that have the same model are filled.
    assert [row[2] for row in table(text, 6)] == [states[0], "not run", states[0]]
    tools.failing = set()
    before = len(tools.calls)
    ablation.main([*args, *options])
    assert tools.calls[before:] == [
        ("train", "tiny_table3_st-enc", 0),
        ("test", "tiny_table3_st-enc", 0),
    ]


def test_processes_share_the_runs(args, tools, tmp_path, capsys):
    """What another process holds is neither done twice nor counted as a failure."""
    folder = tmp_path / "w" / CONFIGS[1] / "seed_0"
    folder.mkdir(parents=True)
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        ablation.main([*args, "--tables", "3", "--seeds", "0"])
    trained = [config for name, config, _ in tools.calls if name == "train"]
    assert trained == [config for config in CONFIGS[:4] if config != CONFIGS[1]]
    assert "left to another process" in capsys.readouterr().out
    ablation.main([*args, "--tables", "3", "--seeds", "0"])
    assert tools.calls[-2:] == [(n, CONFIGS[1], 0) for n in ("train", "test")]


def test_interruption(args, tools, tmp_path, monkeypatch, capsys):
    class Interrupted(StubTools):
        def __call__(self, command, folder, name, lock):
            if len(self.calls) == 3:
                raise KeyboardInterrupt
            super().__call__(command, folder, name, lock)

    first = Interrupted()
    monkeypatch.setattr(ablation_runs, "run_command", first)
    with pytest.raises(SystemExit) as error:
        ablation.main([*args, "--tables", "3", "--seeds", "0"])
    assert error.value.code == 130 and "The same command" in capsys.readouterr().err
    monkeypatch.setattr(ablation_runs, "run_command", tools)
    ablation.main([*args, "--tables", "3", "--seeds", "0"])
    assert len(first.calls) + len(tools.calls) == 2 * 4
    assert tools.calls[0] == ("test", CONFIGS[1], 0)


def test_rows_that_share_a_model_are_trained_once(args, tools):
    rows = ["table3_st-enc", "table4_dynamic-attention-fusion", "table6_cl"]
    ablation.main([*args, "--rows", *rows, "--seeds", "5"])
    trained = [config for name, config, _ in tools.calls if name == "train"]
    assert trained == ["tiny_table3_st-enc", "tiny_table6_cl"]


def test_dry_run(args, tools, tmp_path, capsys):
    ablation.main([*args, "--dry-run", "--rows", "table6_cl", "--seeds", "0", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("#")] == [
        f"# tiny_table6_cl, seed {seed}: not started" for seed in (0, 1)
    ]
    assert len(lines) == 6 and "train.py" in lines[1] and "epoch_2.pth" in lines[2]
    assert tools.calls == [] and not (tmp_path / "w").exists()


def test_report_only(args, tools, tmp_path):
    with pytest.raises(SystemExit, match=r"^error: there are no runs in .*w;"):
        ablation.main([*args, "--report-only"])
    ablation.main([*args, "--rows", "table6_cl", "--seeds", "0"])
    report = tmp_path / "w" / "ablation.md"
    before = report.read_text()
    report.unlink()
    ablation.main([*args, "--report-only"])
    assert report.read_text() == before and len(tools.calls) == 2


def test_errors(args, tools, tmp_path):
    with pytest.raises(SystemExit, match=r"^error: there is no row x; choose of"):
        ablation.main([*args, "--rows", "x"])
    ablation.main([*args, "--rows", "table6_cl", "--seeds", "0"])
    # Other rows of the same work dir must have the same options.
    with pytest.raises(
        SystemExit, match=r"was made with other settings \(.* was 2 and"
    ):
        ablation.main([*args, "--rows", "table3_baseline", "--max-epochs", "3"])
    assert len(tools.calls) == 2


def test_data_is_generated(monkeypatch, tmp_path):
    called = []
    monkeypatch.setattr(subprocess, "call", lambda cmd: called.append(cmd) or 0)
    ablation.ensure_data(tmp_path, None, tmp_path / "w")
    assert called[0][-4:] == ["--out", str(tmp_path), "--difficulty", "medium"]
    write_truth(tmp_path)
    ablation.ensure_data(tmp_path, None, tmp_path / "w")
    assert len(called) == 1
    # The generator says whether what is there was made with it.
    ablation.ensure_data(tmp_path, "hard", tmp_path / "w")
    assert called[1][-1] == "hard"
    monkeypatch.setattr(subprocess, "call", lambda cmd: 1)
    with pytest.raises(ablation.UsageError, match="could not be generated"):
        ablation.ensure_data(tmp_path, "hard", tmp_path / "w")


def test_data_is_generated_once(monkeypatch, tmp_path):
    """A process that comes second waits, and finds what the first has generated."""
    called, work_dir = [], tmp_path / "w"
    monkeypatch.setattr(subprocess, "call", lambda cmd: called.append(cmd) or 0)
    work_dir.mkdir()
    args = (tmp_path / "data", None, work_dir)
    second = threading.Thread(target=ablation.ensure_data, args=args)
    with (work_dir / "data.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        second.start()
        second.join(0.5)
        assert second.is_alive()
        write_truth(tmp_path / "data")
    second.join()
    assert called == []


def test_plot():
    """The paper's figures on the left, seeds, means and deviations on the right."""
    record = dict(seconds={})
    records = {
        seed: record | dict(metrics=dict(AP=value))
        for seed, value in ((0, 0.3), (1, 0.5))
    }
    results = [
        ablation_report.RowResult(row, records if row.table == 6 else {})
        for row in ROWS
    ]
    figure = ablation_report.plot(results)
    assert len(figure.axes) == 6
    paper, here = figure.axes[4:]
    assert paper.lines[0].get_xdata().tolist() == [47.0, 47.7, 48.1]
    labels = [text.get_text() for text in paper.get_yticklabels()]
    assert labels == ["Without", "CL", "CL, Aux"]
    seeds = [line.get_xdata() for line in here.lines if line.get_alpha()]
    assert [list(x) for x in seeds] == [pytest.approx([30, 50])] * 3
    for bar in here.containers:
        assert bar.lines[0].get_xdata()[0] == pytest.approx(40)
        ends = bar.lines[2][0].get_segments()[0][:, 0]
        assert list(ends) == pytest.approx([40 - 200**0.5, 40 + 200**0.5])
    assert len(here.containers) == 3 and not figure.axes[1].containers


def test_real_run(synthvis_root, tmp_path, monkeypatch):
    """Train and test for one epoch with the tools themselves."""
    work_dir = tmp_path / "w"
    folders = ["--data-root", str(synthvis_root), "--work-dir", str(work_dir)]
    options = ["--rows", "table3_baseline", "--seeds", "4", "--max-epochs", "1"]
    args = [*folders, *options, "--cfg-options", *SHRINK]
    ablation.main(args)
    folder = work_dir / "tiny_table3_baseline" / "seed_4"
    record = json.loads((folder / "record.json").read_text())
    assert (folder / "train" / "epoch_1.pth").is_file()
    (log,) = folder.glob("test/*/*.json")
    logged = json.loads(log.read_text())
    for name, value in record["metrics"].items():
        assert value == pytest.approx(logged[f"youtube_vis/{name}"])
    assert min(record["seconds"].values()) > 0
    assert "not run" in (work_dir / "ablation.md").read_text()
    for kind in ("png", "pdf"):
        assert (work_dir / f"ablation.{kind}").stat().st_size > 1000
    monkeypatch.setattr(ablation_runs, "run_command", None)
    ablation.main(args)


def test_help_of_every_tool():
    tools = ["figure4_masks", "figure5_encoder_features", "figure6_box_queries"]
    for name in [*tools, "training_curves", "ablation", "temporal_contribution"]:
        with pytest.raises(SystemExit) as error:
            __import__(name).main(["--help"])
        assert error.value.code == 0
        assert (REPO_ROOT / "projects" / "taformer" / f"{name}.py").is_file()
