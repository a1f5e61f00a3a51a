"""A run of several processes ends when one of them fails, and says why."""

import sys

import pytest

from mmtaformer.utils import launch

from .ranks import free_port, start_script, wait_for

HOOK = """
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class FailingHook(Hook):
    def after_train_iter(self, runner, *args, **kwargs):
        if get_rank() == 1:
            raise RuntimeError(f"no luck at iteration {runner.iter}")
"""

CONFIG = """
_base_ = "{base}"

custom_imports = dict(imports=["mmtaformer", "failing"])
custom_hooks = [dict(type="FailingHook")]
train_dataloader = dict(batch_size=1, num_workers=0)
"""


def test_failing_process_ends_the_run(tiny_config, tmp_path):
    """The other process waits for its gradients meanwhile."""
    (tmp_path / "failing.py").write_text(HOOK)
    config, log = tmp_path / "config.py", tmp_path / "log"
    config.write_text(CONFIG.format(base=tiny_config))
    script = start_script(
        *("dist_train.sh", config, 2, "--work-dir", tmp_path / "work"),
        **dict(log=log, PORT=free_port(), PYTHONPATH=tmp_path),
    )
    assert wait_for(script) == [1]
    printed = log.read_text()
    summary = printed[printed.index("Root Cause") :]
    assert "RuntimeError: no luck at iteration 0" in summary
    assert "(local_rank: 1)" in summary
    assert "(local_rank: 0)" not in summary


def test_errors_name_the_process(monkeypatch):
    module = sys.modules[launch.friendly_errors.__module__]
    monkeypatch.setattr(module, "get_dist_info", lambda: (1, 4))
    with pytest.raises(SystemExit) as exit_info, launch.friendly_errors():
        raise FloatingPointError("The loss is not finite.")
    assert str(exit_info.value) == "error: process 1 of 4: The loss is not finite."


def test_launcher_learns_of_errors(monkeypatch, tmp_path):
    """Of those that end in one sentence, and of those with a traceback."""
    for number, error in enumerate((RuntimeError("a bug"), FileNotFoundError("x.py"))):
        path = tmp_path / str(number)
        monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(path))
        with pytest.raises((RuntimeError, SystemExit)), launch.friendly_errors():
            raise error
        assert f"{type(error).__name__}: {error}" in path.read_text()
