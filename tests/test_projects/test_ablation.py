"""The runner of the ablation, with tools that only pretend, and once with the real."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from mmengine.config import Config

from projects.taformer.ablation import __main__ as ablation
from projects.taformer.ablation import report, runs

from ..helpers import toy
from ..helpers.golden import REPO_ROOT

# Stands in for tools/train.py and tools/test.py, by the name it is called with.
STUB = """
import json, os, pathlib, sys
print("threads:", os.environ["OMP_NUM_THREADS"])
log = pathlib.Path({log!r})
with log.open("a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
folder = pathlib.Path(sys.argv[1]).parent
if folder.parent.name in {failing!r}:
    sys.exit("no luck")
if "--resume" in sys.argv:
    (folder / "train" / "1" / "vis_data").mkdir(parents=True)
    lines = [dict(loss=1, time=2.0, step=step) for step in (10, 20)]
    text = "\\n".join(map(json.dumps, lines))
    (folder / "train" / "1" / "vis_data" / "scalars.json").write_text(text)
    (folder / "train" / "epoch_2.pth").touch()
else:
    assert pathlib.Path(sys.argv[2]).is_file()
    entries = {results!r}
    kept = 1 if folder.name == "seed_1" else 2
    (folder / "results.json").write_text(json.dumps(entries[:kept]))
"""
CONTRIBUTION_STUB = """
import json, pathlib, sys
(gt, out), name = (sys.argv[1], sys.argv[-1]), sys.argv[sys.argv.index("--model") + 1]
assert pathlib.Path(gt).is_file() and sys.argv[-2] == "--json"
figures = {"as it is": 1.0, "encoder": 0.25, "decoder": 0.5, "both": 0.125}
pathlib.Path(out).write_text(json.dumps({name: figures}))
"""
ONE_VIDEO_OF_TWO = 100 * 51 / 101  # precision 1 up to a recall of one half


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """Pretending tools; a function that tells what they were called for."""
    root, log = tmp_path / "root", tmp_path / "calls"
    (root / "tools").mkdir(parents=True)
    log.touch()

    def install(*failing):
        results = toy.perfect_results()
        text = STUB.format(log=str(log), failing=failing, results=results)
        for name in ("train", "test"):
            (root / "tools" / f"{name}.py").write_text(text)

    def calls():
        words = [json.loads(line) for line in log.read_text().splitlines()]
        return [
            ("train" if "--resume" in line else "test", *line[0].split("/")[-3:-1])
            for line in words
        ]

    stub = root / "contribution.py"
    stub.write_text(CONTRIBUTION_STUB)
    monkeypatch.setattr(runs, "CONTRIBUTION", [sys.executable, str(stub)])
    install()
    calls.install = install
    monkeypatch.setattr(runs, "ROOT", root)
    monkeypatch.setattr(ablation, "TICK", 0.01)
    monkeypatch.setattr(report, "save_figure", lambda figure, prefix: None)
    return calls


@pytest.fixture
def args(tmp_path):
    """Options for toy data of two videos."""
    (tmp_path / "data").mkdir()
    for split in ("train", "val"):
        path = tmp_path / "data" / f"{split}.json"
        path.write_text(json.dumps(toy.ground_truth()))
    folders = ["--data-root", str(tmp_path / "data"), "--work-dir", str(tmp_path / "w")]
    return [*folders, "--max-epochs", "2"]


def cells_of(path):
    """Cells of all rows of the report."""
    lines = [line for line in path.read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row[0] != "Row"]


def test_two_runs_at_a_time_and_a_second_command(args, tools, tmp_path):
    """Three models fill three rows; what is complete is not done again."""
    args += ["--tables", "6", "--seeds", "0", "1"]
    ablation.main([*args, "--jobs", "2"])
    calls = tools()
    assert len(calls) == len(set(calls)) == 2 * 3 * 2
    for _, name, seed in calls:
        assert calls.index(("train", name, seed)) < calls.index(("test", name, seed))
    rows = cells_of(tmp_path / "w" / "ablation.md")
    assert len(rows) == 4 + 3  # those of Table 3 that are the same models, too
    # t of two seeds is 12.706: the interval is 12.706 times half of the difference.
    mean, half = (100 + ONE_VIDEO_OF_TWO) / 2, 12.7062 * (100 - ONE_VIDEO_OF_TWO) / 2
    for row in rows[2:]:
        assert row[2] == " / ".join([f"{mean:.1f} ± {half:.1f}"] * 3)
        own_frames = "25.0 / 50.0 / 12.5"
        assert row[3:] == ["0: 100.0, 1: 50.5", "-", "-", own_frames, "0.7 min"]
    assert rows[0][:3] == ["Baseline", "44.9 / 66.8 / 50.3", "not run"]
    assert rows[-1][:2] == ["CL, Aux", "48.1 / 71.6 / 52.5"]
    ablation.main(args)
    assert len(tools()) == 2 * 3 * 2


@pytest.mark.parametrize(("given", "expected"), [(None, "2"), ("3", "3")])
def test_threads_of_a_run(args, tools, tmp_path, monkeypatch, given, expected):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    options = ["--rows", "table3_baseline", "--seeds", "0", "--jobs", "2"]
    ablation.main([*args, *options])
    log = (tmp_path / "w" / "table3_baseline" / "seed_0" / "log.txt").read_text()
    assert log == f"threads: {expected}\n" * 2


def test_a_failure_does_not_stop_the_others(args, tools, tmp_path):
    tools.install("table3_st-enc")
    options = ["--tables", "3", "--seeds", "0"]
    with pytest.raises(SystemExit, match=r"1 of 4 runs failed.*\n.*st-enc/seed_0: co"):
        ablation.main([*args, *options])
    assert len(tools()) == 1 + 2 * 3
    figures = [row[2] for row in cells_of(tmp_path / "w" / "ablation.md")]
    assert figures[1] == "not run" and figures.count("not run") == 1
    tools.install()
    ablation.main([*args, *options])
    assert [name for _, name, _ in tools()[7:]] == ["table3_st-enc"] * 2


def test_another_model_and_a_chosen_row(args, tools, tmp_path):
    config = REPO_ROOT / "configs/seqformer/seqformer_tiny_synthvis.py"
    options = ["--rows", "table6_cl_aux", "--configs", str(config), "--seeds", "0"]
    ablation.main([*args, *options])
    rows = {row[0]: row[2] for row in cells_of(tmp_path / "w" / "ablation.md")}
    figure = rows["seqformer_tiny_synthvis"]  # no interval of one seed
    assert figure == "100.0 / 100.0 / 100.0"
    # The model of the row is the last one of Table 3, where it is shown.
    assert "CL, Aux" not in rows and rows["+ ST-Enc + TA-Dec + CL"] == figure
    trained = {name for _, name, _ in tools()}
    assert trained == {"table3_st-enc_ta-dec_cl", "seqformer_tiny_synthvis"}


def test_other_models_alone(args, tools, tmp_path):
    config = REPO_ROOT / "configs/seqformer/seqformer_tiny_synthvis.py"
    ablation.main([*args, "--rows", "--configs", str(config), "--seeds", "0"])
    assert {name for _, name, _ in tools()} == {"seqformer_tiny_synthvis"}
    rows = cells_of(tmp_path / "w" / "ablation.md")
    assert [row[0] for row in rows] == ["seqformer_tiny_synthvis"]


def test_an_option_that_changes_nothing_is_refused(args, tools):
    with pytest.raises(SystemExit, match=r"^error: --cfg-options encoder\.num"):
        ablation.main([*args, "--cfg-options", "encoder.num_layers=3"])
    assert tools() == []


def test_dry_run_and_report_only(args, tools, tmp_path, capsys):
    options = ["--rows", "table6_cl", "--seeds", "0", "1"]
    ablation.main([*args, *options, "--dry-run"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8 and lines[0].endswith("table6_cl/seed_0: to do")
    assert "train.py" in lines[1] and "epoch_2.pth" in lines[2]
    assert tools() == [] and not (tmp_path / "w").exists()
    with pytest.raises(SystemExit, match=r"^error: there is no complete run in .*w;"):
        ablation.main([*args, "--report-only"])
    ablation.main([*args, *options])
    written = tmp_path / "w" / "ablation.md"
    before = written.read_text()
    written.unlink()
    ablation.main([*args, "--report-only"])
    assert written.read_text() == before and len(tools()) == 4


def test_other_settings_are_refused(args, tools):
    options = ["--rows", "table6_cl", "--seeds", "0"]
    ablation.main([*args, *options])
    changes = r"(?s)made with other settings; .*\n-.*max_epochs=2.*\n\+.*max_epochs=3"
    with pytest.raises(SystemExit, match=changes):
        ablation.main([*args, *options, "--max-epochs", "3"])
    assert len(tools()) == 2


def test_settings(tmp_path):
    config = Config.fromfile(REPO_ROOT / "configs/taformer/taformer_tiny_synthvis.py")
    cfg = runs.build_settings(config, 3, tmp_path, max_epochs=4)
    assert cfg.randomness == dict(seed=3) and config.randomness == dict(seed=0)
    assert cfg.train_cfg.max_epochs == 4 < cfg.train_cfg.val_begin
    assert cfg.param_scheduler[0].end == 4
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        assert cfg[loader].dataset.data_root == str(tmp_path)
    assert cfg.test_evaluator.ann_file == str(tmp_path / "val.json")


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("configs/table3_baseline", False),
        ("configs/table3_st-enc", True),
        ("configs/table3_st-enc_ta-dec", True),
        ("peers/mask2former_tiny_synthvis-deform", False),
    ],
)
def test_who_looks_at_other_frames(config, expected):
    path = REPO_ROOT / f"projects/taformer/{config}.py"
    assert runs.looks_at_other_frames(Config.fromfile(path).model) == expected


def test_paired_difference():
    """t of three pairs is 4.303: 1 +- 4.303 / sqrt(3) for deviations of 1."""
    first = {0: 30.0, 1: 40.0, 2: 50.0, 5: 0.0}
    values = {0: 30.0, 1: 41.0, 2: 52.0, 7: 0.0}
    assert report.paired_difference(values, first) == "+1.0 ± 2.5"
    assert report.paired_difference({0: 31.5}, first) == "+1.5"
    assert report.paired_difference({9: 31.5}, first) == "-"


def test_where_objects_are_hidden(tmp_path):
    """IoU of the rows, and what perfect models reach on the same data."""
    figures = dict(AP=0.5, AP50=0.75, AP75=0.25, IoU_drawn=0.875, IoU_weakened=0.125)
    content = dict(annotation_file="val.json", ceilings={"its frame alone": figures})
    (tmp_path / "ceilings.json").write_text(json.dumps(content))
    record = dict(training_seconds=60, ann_file=str(tmp_path / "val.json"))
    results = [
        report.Result("Other", (), {0: dict(**record, metrics=figures)}),
        report.Result("None", (), {}),
    ]
    text = report.markdown({"Other models": results})
    assert "| 0: 50.0 | - | 87.5 / 12.5 | - | 1.0 min |" in text
    assert "| its frame alone | 50.0 | 75.0 | 25.0 | 87.5 / 12.5 |" in text
    record["ann_file"] = str(tmp_path / "train.json")  # ceilings are of another file
    results[0] = report.Result("Other", (), {0: dict(**record, metrics=figures)})
    assert "Ceilings" not in report.markdown({"Other models": results})


def test_plot():
    """The paper's figures on the left, seeds, means and intervals on the right."""
    records = {s: dict(metrics=dict(AP=ap)) for s, ap in enumerate((0.3, 0.4, 0.5))}
    results = [
        report.Result("Without", (47.0, 69.5, 52.7), records),
        report.Result("CL", (47.7, 71.0, 51.6), {}),
    ]
    figure = report.plot({"Table 6": results})
    paper, here = figure.axes
    assert [line.get_xdata()[0] for line in paper.lines] == [47.0, 47.7]
    labels = [text.get_text() for text in paper.get_yticklabels()]
    assert labels == ["Without", "CL"]
    (seeds,) = [line.get_xdata() for line in here.lines if line.get_alpha()]
    assert list(seeds) == pytest.approx([30, 40, 50])
    (bar,) = here.containers
    ends = bar.lines[2][0].get_segments()[0][:, 0]
    half = 4.30265 * 10 / 3**0.5  # t of three seeds
    assert list(ends) == pytest.approx([40 - half, 40 + half], rel=1e-5)


def test_ending_the_runner_ends_the_training(tmp_path):
    """SIGTERM: no process is left behind."""
    code = f"""
import sys
from pathlib import Path
from projects.taformer.ablation import __main__ as ablation
pid = Path({str(tmp_path)!r}) / "pid"
class Run:
    folder = pid.parent
    done = False
    def prepare(self): pass
    def commands(self):
        text = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid()))"
        return [[sys.executable, "-c", text + "; time.sleep(600)", str(pid)]]
ablation.carry_out([Run()], 1, pid.parent)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=REPO_ROOT, stderr=subprocess.DEVNULL
    )
    pid = tmp_path / "pid"
    while not pid.is_file() or not pid.read_text():
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) != 0
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_real_run(synthvis_root, tiny_config, tmp_path):
    """Train and test for one epoch with the tools themselves."""
    base = ["--base", str(tiny_config)]
    folders = ["--data-root", str(synthvis_root), "--work-dir", str(tmp_path / "w")]
    options = ["--rows", "table3_baseline", "--seeds", "4", "--max-epochs", "1"]
    ablation.main([*base, *folders, *options])
    folder = tmp_path / "w" / "table3_baseline" / "seed_4"
    record = json.loads((folder / "record.json").read_text())
    assert (folder / "train" / "epoch_1.pth").is_file()
    (log,) = folder.glob("test/*/*.json")
    logged = json.loads(log.read_text())
    for name, value in record["metrics"].items():
        assert value == pytest.approx(logged[f"youtube_vis/{name}"])
    assert record["training_seconds"] > 0
    for kind in ("png", "pdf"):
        assert (tmp_path / "w" / f"ablation.{kind}").stat().st_size > 1000
