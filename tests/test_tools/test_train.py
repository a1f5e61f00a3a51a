import json
import re
import shutil
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config

from mmtaformer.utils.checkpoint import load_checkpoint_file

from ..helpers.golden import REPO_ROOT


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("train.py")


@pytest.fixture
def prepared(tool, monkeypatch):
    """Runs the tool up to the runner; returns the config that would be trained."""

    class Stopped(Exception):
        pass

    def build_runner(cfg, local_rank):
        configs.append(cfg)
        raise Stopped  # before anything is built

    configs = []
    monkeypatch.setattr(tool, "build_runner", build_runner)

    def prepare(*argv):
        with pytest.raises(Stopped):
            tool.main([str(argument) for argument in argv])
        return configs.pop()

    return prepare


def weights(path):
    return load_checkpoint_file(path)["state_dict"]


def test_resumed_run_equals_uninterrupted_run(tool, tiny_config, trained_dir, tmp_path):
    """An interrupted run leaves the checkpoint of its last complete epoch."""
    shutil.copy(trained_dir / "epoch_1.pth", tmp_path)
    (tmp_path / "last_checkpoint").write_text(str(tmp_path / "epoch_1.pth"))
    tool.main([str(tiny_config), "--work-dir", str(tmp_path), "--resume"])
    first = weights(trained_dir / "epoch_1.pth")
    uninterrupted = weights(trained_dir / "epoch_2.pth")
    resumed = weights(tmp_path / "epoch_2.pth")
    assert resumed.keys() == uninterrupted.keys()
    for name, weight in uninterrupted.items():
        assert torch.equal(resumed[name], weight), name
    assert any(not torch.equal(first[name], w) for name, w in uninterrupted.items())


def test_resume_of_a_complete_run_trains_nothing(tool, tiny_config, trained_dir):
    before = (trained_dir / "epoch_2.pth").stat().st_mtime_ns
    tool.main([str(tiny_config), "--work-dir", str(trained_dir), "--resume"])
    assert (trained_dir / "epoch_2.pth").stat().st_mtime_ns == before


def test_amp_trains_on_the_cpu(tool, tiny_config, tmp_path):
    options = ["train_cfg.max_epochs=1", "train_dataloader.dataset.indices=1"]
    options += [f"val_{name}=None" for name in ("cfg", "dataloader", "evaluator")]
    argv = [str(tiny_config), "--work-dir", str(tmp_path), "--amp"]
    tool.main([*argv, "--cfg-options", *options])
    trained = weights(tmp_path / "epoch_1.pth")
    floats = [weight for weight in trained.values() if weight.is_floating_point()]
    assert {weight.dtype for weight in floats} == {torch.float32}
    assert all(weight.isfinite().all() for weight in floats)


def test_options_reach_the_config(prepared, tiny_config, tmp_path):
    plain = prepared(tiny_config)
    assert plain.work_dir == "work_dirs/tiny_taformer"
    assert plain.optim_wrapper.type == "OptimWrapper"
    assert not plain.auto_scale_lr.enable
    assert not plain.resume
    checkpoint = tmp_path / "epoch_7.pth"
    checkpoint.touch()
    cfg = prepared(
        *(tiny_config, "--work-dir", tmp_path, "--auto-scale-lr", "--amp"),
        *("--resume", checkpoint, "--launcher", "slurm"),
        *("--cfg-options", "model.num_queries=3", "train_cfg.max_epochs=1"),
    )
    assert cfg.work_dir == str(tmp_path)
    assert cfg.auto_scale_lr.enable
    assert cfg.launcher == "slurm"
    assert (cfg.resume, cfg.load_from) == (True, str(checkpoint))
    assert (cfg.model.num_queries, cfg.train_cfg.max_epochs) == (3, 1)


@pytest.mark.parametrize(
    ("device", "wrapper"),
    [("cpu", "BFloat16OptimWrapper"), ("cuda", "AmpOptimWrapper")],
)
def test_amp_suits_the_device(
    tool, prepared, monkeypatch, tiny_config, device, wrapper
):
    monkeypatch.setattr(tool, "get_device", lambda: device)
    cfg = prepared(tiny_config, "--amp")
    assert cfg.optim_wrapper.type == wrapper
    assert cfg.optim_wrapper.get("loss_scale") == {"cuda": "dynamic"}.get(device)
    amp = ["optim_wrapper.type=AmpOptimWrapper", "optim_wrapper.dtype=float16"]
    cfg = prepared(tiny_config, "--amp", "--cfg-options", *amp)
    assert cfg.optim_wrapper.type == wrapper
    assert cfg.optim_wrapper.get("dtype") == {"cuda": "float16"}.get(device)


def test_errors_are_one_sentence(tool, tiny_config, tmp_path):
    scaling = Config.fromfile(tiny_config)
    scaling.pop("auto_scale_lr")
    scaling.dump(tmp_path / "no_scaling.py")
    for argv, message in [
        (["none.py"], "There is no config none.py"),
        ([str(tiny_config), "--resume", "none.pth"], "There is no checkpoint none.pth"),
        ([str(tmp_path / "no_scaling.py"), "--auto-scale-lr"], "base_batch_size"),
        (
            [str(tiny_config), "--amp", "--cfg-options", "optim_wrapper.type=Other"],
            "'Other'",
        ),
        (
            [str(tiny_config), "--cfg-options", "model.num_querys=3"],
            "no argument 'num_querys' (model); did you mean 'num_queries'?",
        ),
        (
            [str(tiny_config), "--cfg-options", "optim_wraper.optimizer.lr=1"],
            "did you mean optim_wrapper.optimizer.lr?",
        ),
        (
            [str(tiny_config), "--cfg-options", "train_cfg.max_epochs=7"],
            "learning rate down to nothing by 2, but train_cfg.max_epochs is 7",
        ),
    ]:
        with pytest.raises(SystemExit, match=re.escape(message)) as exit_info:
            tool.main(argv)
        assert str(exit_info.value).startswith("error: ")
        assert "\n" not in str(exit_info.value)


def test_longer_run_does_not_go_on_after_one_cycle(
    tool, tiny_config, trained_dir, tmp_path
):
    shutil.copytree(trained_dir, tmp_path / "run")
    name = str(tmp_path / "run" / "epoch_2.pth")
    (tmp_path / "run" / "last_checkpoint").write_text(name)
    options = ["train_cfg.max_epochs=4", "param_scheduler.0.end=4"]
    argv = [str(tiny_config), "--work-dir", str(tmp_path / "run"), "--resume"]
    with pytest.raises(SystemExit, match="max_epochs=2, in which one cycle"):
        tool.main([*argv, "--cfg-options", *options])


def test_console_shows_the_first_loss_on_the_first_screen(
    tool, tiny_config, tmp_path, capsys
):
    options = ["train_dataloader.dataset.indices=1", "default_hooks.logger.interval=1"]
    options += [f"val_{name}=None" for name in ("cfg", "dataloader", "evaluator")]
    options += ["train_cfg.max_epochs=1", "visualizer.name=of_this_run"]
    options += ["experiment_name=of_this_run"]  # runs of one second share a logger
    argv = [str(tiny_config), "--work-dir", str(tmp_path), "--cfg-options", *options]
    tool.main(argv)
    lines = re.sub(r"\x1b\[\d+m", "", capsys.readouterr().out).splitlines()
    losses = [number for number, line in enumerate(lines) if "  loss " in line]
    assert losses[0] < 15
    assert all(len(lines[number]) <= 120 for number in losses)
    (log,) = tmp_path.glob("*/*.log")
    (scalars,) = tmp_path.glob("*/vis_data/scalars.json")
    for text in (log.read_text(), scalars.read_text()):
        assert "d0.loss_dice" in text
    assert "System environment" in log.read_text()
    assert (scalars.parent / "config.py").is_file()


def test_bad_data_end_in_one_sentence(tool, tiny_config, synthvis_root, tmp_path):
    """Before training starts, and without a traceback."""
    annotations = json.loads((synthvis_root / "train.json").read_text())
    annotations["annotations"][0]["segmentations"].pop()
    path = tmp_path / "cut_short.json"
    path.write_text(json.dumps(annotations))
    argv = [str(tiny_config), "--work-dir", str(tmp_path), "--cfg-options"]
    for name in (str(path), str(tmp_path / "missing.json")):
        with pytest.raises(SystemExit, match=re.escape(name)) as exit_info:
            tool.main([*argv, f"train_dataloader.dataset.ann_file={name}"])
        assert str(exit_info.value).startswith("error: ")


def test_other_errors_keep_their_traceback(tool, monkeypatch, tiny_config):
    def broken(cfg, local_rank):
        raise ValueError("a bug")

    monkeypatch.setattr(tool, "build_runner", broken)
    with pytest.raises(ValueError, match="a bug"):
        tool.main([str(tiny_config)])


def test_interrupt_says_how_to_go_on(tool, monkeypatch, tiny_config, capsys):
    def interrupted(cfg, local_rank):
        raise KeyboardInterrupt

    monkeypatch.setattr(tool, "build_runner", interrupted)
    with pytest.raises(SystemExit) as exit_info:
        tool.main([str(tiny_config)])
    assert exit_info.value.code == 130
    assert "--resume" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["train", "test"])
def test_finished_run_leaves_its_process_group(
    load_tool, monkeypatch, tiny_config, name
):
    """After the work, as other processes may still need this one before."""
    order = []
    work = SimpleNamespace(**{name: lambda: order.append("work")})
    tool = load_tool(f"{name}.py")
    monkeypatch.setattr(tool, "build_runner", lambda cfg, local_rank: work)
    checks = {
        "train": ["fetch_weights", "check_start"],
        "test": ["fetch_weights", "check_tested_weights"],
    }
    for check in checks[name]:
        monkeypatch.setattr(tool, check, lambda *args, **kwargs: None)
    monkeypatch.setattr(tool, "leave_process_group", lambda: order.append("leave"))
    files = [str(tiny_config)] * (1 if name == "train" else 2)
    tool.main(files)
    assert order == ["work", "leave"]


@pytest.mark.parametrize(
    ("name", "files"), [("train.py", ["config"]), ("test.py", ["config", "checkpoint"])]
)
def test_arguments_that_launchers_give(load_tool, capsys, name, files):
    parse_args = load_tool(name).parse_args
    for spelling in ("--local-rank=1", "--local_rank=1"):
        args = parse_args([*files, spelling, "--launcher", "pytorch"])
        assert (args.local_rank, args.launcher) == (1, "pytorch")
    with pytest.raises(SystemExit):
        parse_args(["--help"])
    # mim gives a number of GPUs to every script whose help names such an option.
    assert "--gpus" not in capsys.readouterr().out


def test_default_runtime_is_what_the_tools_count_on():
    cfg = Config.fromfile(REPO_ROOT / "configs" / "_base_" / "default_runtime.py")
    hooks = {hook.type for hook in cfg.custom_hooks}
    assert hooks >= {"NonFiniteLossHook", "NumClassCheckHook", "PreemptionHook"}
