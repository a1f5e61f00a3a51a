import multiprocessing
import os
import signal

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper

from mmtaformer.engine import AtomicCheckpointHook, PreemptionHook
from mmtaformer.engine.hooks.preemption_hook import RESUMABLE

from ..helpers.toy_training import train


class Slurm(Hook):
    """Sends SIGTERM in an iteration, to all processes of the job if told so."""

    priority = "HIGHEST"

    def __init__(self, iteration, workers=False):
        self.iteration, self.workers = iteration, workers

    def before_train_iter(self, runner, *args, **kwargs):
        if runner.iter + 1 == self.iteration:
            if self.workers:
                for worker in multiprocessing.active_children():
                    os.kill(worker.pid, signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return train(tmp_path_factory.mktemp("runs") / "whole", num_workers=0)


def preempt(work_dir, *hooks, **options):
    with pytest.raises(SystemExit) as exit_info:
        train(work_dir, [PreemptionHook(), *hooks], **options)
    assert exit_info.value.code == RESUMABLE == 75


@pytest.mark.parametrize(
    ("iteration", "workers"), [(1, 0), (4, 0), (6, 0), (12, 0), (6, 2)]
)
def test_run_goes_on_exactly_there(whole, tmp_path, capsys, iteration, workers):
    options = dict(num_workers=workers)
    preempt(tmp_path, Slurm(iteration, workers=bool(workers)), **options)
    assert (tmp_path / "interrupted.pth").is_file()
    log = "".join(capsys.readouterr())
    assert f"Told to stop (SIGTERM) at iteration {iteration}." in log
    assert str(tmp_path / "interrupted.pth") in log
    resumed = train(tmp_path, [PreemptionHook()], resume=True, **options)
    assert resumed.seen == whole.seen[2 * iteration :]
    assert torch.equal(resumed.layer.weight, whole.layer.weight)
    assert not (tmp_path / "interrupted.pth").exists()


def test_what_was_just_saved_is_not_saved_twice(whole, tmp_path, capsys):
    def options():
        hook = AtomicCheckpointHook(interval=1, by_epoch=False, max_keep_ckpts=1)
        return dict(num_workers=0, checkpoint=hook)

    preempt(tmp_path, Slurm(12), **options())
    saved = str(tmp_path / "iter_12.pth")
    assert f"The state is in {saved}." in "".join(capsys.readouterr())
    resumed = train(tmp_path, [PreemptionHook()], resume=True, **options())
    assert resumed.seen == []
    assert torch.equal(resumed.layer.weight, whole.layer.weight)
    assert [path.name for path in tmp_path.glob("*.pth")] == ["iter_12.pth"]
    assert (tmp_path / "last_checkpoint").read_text() == saved


def test_several_times(whole, tmp_path):
    for iteration in (2, 3, 7):
        preempt(tmp_path, Slurm(iteration), num_workers=0, resume=iteration > 2)
    resumed = train(tmp_path, resume=True, num_workers=0)
    assert torch.equal(resumed.layer.weight, whole.layer.weight)


def test_accumulated_gradients_are_used_first(tmp_path):
    def wrapper():
        optimizer = dict(type=torch.optim.AdamW, lr=0.01)
        return dict(type=OptimWrapper, optimizer=optimizer, accumulative_counts=3)

    whole = train(tmp_path / "whole", num_workers=0, optim_wrapper=wrapper())
    options = dict(num_workers=0, optim_wrapper=wrapper())
    preempt(tmp_path / "run", Slurm(4), **options)
    options["optim_wrapper"] = wrapper()
    resumed = train(tmp_path / "run", resume=True, **options)
    assert resumed.seen == whole.seen[2 * 6 :]
    assert torch.equal(resumed.layer.weight, whole.layer.weight)


class ValidatingSlurm(Hook):
    """A validation after the second epoch, in which SIGTERM comes."""

    def after_train_epoch(self, runner):
        if runner.epoch + 1 == 2:
            self.validate = True

    def before_train_epoch(self, runner):
        if getattr(self, "validate", False):  # where mmengine's loop validates
            os.kill(os.getpid(), signal.SIGTERM)
            for hook in runner.hooks:
                if isinstance(hook, PreemptionHook):
                    hook.after_val_iter(runner, batch_idx=0)


def test_in_validation(whole, tmp_path):
    preempt(tmp_path, ValidatingSlurm(), num_workers=0)
    resumed = train(tmp_path, [PreemptionHook()], resume=True, num_workers=0)
    assert resumed.seen == whole.seen[2 * 8 :]
    assert torch.equal(resumed.layer.weight, whole.layer.weight)


def test_signal_is_given_back(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    train(tmp_path, [PreemptionHook()], num_workers=0)
    assert signal.getsignal(signal.SIGTERM) is before
