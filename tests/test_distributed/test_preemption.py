"""A run of several processes that is told to stop, or loses its launcher."""

import signal
from pathlib import Path

import torch

from mmtaformer.utils.checkpoint import load_checkpoint_file

from ..helpers.processes import wait_until
from .ranks import PATIENCE, free_port, start_script, wait_for

HOOK = """
import os
import signal
import time
from pathlib import Path

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class MarkingHook(Hook):
    def before_train_iter(self, runner, *args, **kwargs):
        Path(f"{get_rank()}_{os.getpid()}_{runner.iter}").touch()
        if get_rank() == 1 and runner.iter == 3 and Path("kill").exists():
            Path("kill").unlink()
            os.kill(os.getppid(), signal.SIGKILL)
            # The three iterations that are left must not be over before it is noticed.
            time.sleep(5)
"""

CONFIG = """
_base_ = "{base}"

custom_imports = dict(imports=["mmtaformer", "marking"])
custom_hooks = _base_.custom_hooks + [dict(type="MarkingHook")]
train_dataloader = dict(batch_size=1, num_workers=1)
train_cfg = dict(max_epochs=1)
val_cfg = val_dataloader = val_evaluator = None
default_hooks = dict(checkpoint=dict(save_best=None))
"""


def train(config, folder, name, *options):
    return start_script(
        *("dist_train.sh", config, 2, "--work-dir", folder / name, *options),
        **dict(log=folder / f"{name}.log", PORT=free_port(), PYTHONPATH=folder),
    )


def test_ranks_save_when_the_launcher_is_killed(tiny_config, tmp_path):
    """And the run goes on exactly there, inside an epoch."""
    (tmp_path / "marking.py").write_text(HOOK)
    config = tmp_path / "config.py"
    config.write_text(CONFIG.format(base=tiny_config))
    assert wait_for(train(config, tmp_path, "whole")) == [0]
    for path in tmp_path.glob("[01]_*"):
        path.unlink()

    (tmp_path / "kill").touch()
    launcher = train(config, tmp_path, "run")
    assert wait_for(launcher) == [-signal.SIGKILL]
    pids = {int(path.name.split("_")[1]) for path in tmp_path.glob("[01]_*")}
    assert len(pids) == 2
    wait_until(lambda: not any(map(is_alive, pids)), PATIENCE)
    log = (tmp_path / "run.log").read_text()
    assert (tmp_path / "run" / "interrupted.pth").is_file(), log
    assert "Told to stop (SIGTERM) at iteration" in log

    assert wait_for(train(config, tmp_path, "run", "--resume")) == [0]
    states = [
        load_checkpoint_file(tmp_path / name / "epoch_1.pth")["state_dict"]
        for name in ("whole", "run")
    ]
    for name, value in states[0].items():
        assert torch.equal(states[1][name], value), name


def is_alive(pid):
    """Whether a process runs, other than as a zombie."""
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
