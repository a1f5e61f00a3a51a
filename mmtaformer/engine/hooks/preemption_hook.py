import signal
import threading
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any, NoReturn

import torch.distributed
from mmdet.registry import HOOKS
from mmengine.dist import all_reduce, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmtaformer.utils.processes import end_with_launcher

from .atomic_checkpoint_hook import AtomicCheckpointHook

# Exit code of a run that was told to stop and can be resumed: EX_TEMPFAIL, "try again".
RESUMABLE = 75


@HOOKS.register_module()
class PreemptionHook(Hook):
    """Saves and ends a training that gets SIGTERM, so that it can go on exactly there.

    Slurm sends SIGTERM some time before it takes the machine away. The training step
    that runs is completed; with gradients that accumulate, the optimizer's step. The
    program ends with exit code 75. In a validation, which has nothing to save but what
    the epoch before it left, it ends after the video that is predicted.

    A second SIGTERM ends the process at once. Processes that torchrun started get one
    when torchrun was killed.
    """

    priority = "LOWEST"  # after everything that belongs to the iteration

    def __init__(self) -> None:
        self._told_to_stop = False
        self._former_handler: Any = None

    def before_run(self, runner: Runner) -> None:
        """Notice the end of the launcher, in testing too."""
        end_with_launcher()

    def before_train(self, runner: Runner) -> None:
        """Take SIGTERM from now on, and keep it from the data workers."""
        if threading.current_thread() is not threading.main_thread():
            return  # signals can only be handled there
        self._former_handler = signal.signal(signal.SIGTERM, self._note)
        loader = runner.train_dataloader
        loader.worker_init_fn = partial(_init_worker, loader.worker_init_fn)

    def after_train(self, runner: Runner) -> None:
        """Leave SIGTERM to whom it belonged."""
        if self._former_handler is not None:
            signal.signal(signal.SIGTERM, self._former_handler)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self._told_to_stop = True
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Save and end if any process was told to."""
        told = torch.tensor(self._told_to_stop, dtype=torch.uint8)
        all_reduce(told, op="max")
        if told and runner.optim_wrapper.should_update():
            self._stop(runner, in_epoch=True)

    def after_val_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """End the validation of a training."""
        if self._told_to_stop:
            self._stop(runner, in_epoch=False)

    def _stop(self, runner: Runner, in_epoch: bool) -> NoReturn:
        saved = _save(runner, in_epoch)
        if is_main_process():
            runner.logger.warning(
                f"Told to stop (SIGTERM) at iteration {runner.iter + in_epoch}. "
                f"{saved} Continue exactly there with --resume."
            )
        if in_epoch and torch.distributed.is_initialized():
            torch.distributed.barrier()  # the checkpoint is complete
            torch.distributed.destroy_process_group()
        raise SystemExit(RESUMABLE)


def _save(runner: Runner, in_epoch: bool) -> str:
    hooks = [hook for hook in runner.hooks if isinstance(hook, AtomicCheckpointHook)]
    if not hooks:
        return "Nothing is saved, as the config has no AtomicCheckpointHook."
    if not (in_epoch or isinstance(runner, Runner)):
        return "The last checkpoint stays."  # processes could not save together here
    return f"The state is in {hooks[0].save_interrupted(runner, in_epoch)}."


def _init_worker(init: Callable[[int], None] | None, worker_id: int) -> None:
    """Let a data worker survive the SIGTERM that all processes of a job get at once.

    The main process could not complete its step without it. The next one, which the
    main process may send when it ends, is taken as usual.
    """
    if init is not None:
        init(worker_id)

    def survive(signum: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    signal.signal(signal.SIGTERM, survive)
