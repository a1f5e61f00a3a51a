"""How far a run has come: the first loss at once, and time left inside long videos."""

import datetime
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmdet.registry import HOOKS
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn
from torch.utils.hooks import RemovableHandle

from ..log_processor import loss_groups

# Parts of TAFormer that predict a video, with their rough shares of the time; in which
# dimension of what they return the frames are.
_STAGES = {
    "backbone": (0.3, 0),
    "encoder.layers": (0.4, 1),
    "bbox_head.mask_head": (0.3, 1),
}


@HOOKS.register_module()
class ProgressHook(Hook):
    """Says early how training goes, and how long prediction still takes.

    The loss of the first iteration is logged as soon as it is known. While videos are
    predicted, a bar on the terminal shows how many frames are done and the time left,
    inside of a video too: a single one can take minutes. Where the output goes to a
    file, a line of the log says it now and then.

    Args:
        interval: Seconds between two lines of the log.
    """

    priority = "LOW"

    def __init__(self, interval: float = 30) -> None:
        self.interval = interval
        self._is_first = True
        self._progress: VideoProgress | None = None

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Mapping[str, Any] | None = None,
    ) -> None:
        """Log the loss of the first iteration of this process.

        Args:
            runner: The runner.
            batch_idx: Not used.
            data_batch: Not used.
            outputs: Values by name: the total ``loss`` and its terms.
        """
        if not self._is_first or not outputs or "loss" not in outputs:
            return
        self._is_first = False
        values = {name: torch.as_tensor(v).mean().item() for name, v in outputs.items()}
        terms = [f"{name} {value:.3g}" for name, value in loss_groups(values).items()]
        line = "  ".join([f"loss {values['loss']:.4g}", *terms])
        runner.logger.info(f"Iteration {runner.iter + 1}:  {line}")

    def before_val_epoch(self, runner: Runner) -> None:
        """Start to count the frames of a validation."""
        self._start(runner, runner.val_dataloader.dataset)

    def before_test_epoch(self, runner: Runner) -> None:
        """Start to count the frames of a test."""
        self._start(runner, runner.test_dataloader.dataset)

    def after_val_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Count a video of a validation."""
        self._count(*args, **kwargs)

    def after_test_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Count a video of a test."""
        self._count(*args, **kwargs)

    def after_val_epoch(self, runner: Runner, metrics: Any = None) -> None:
        """Remove the bar."""
        self._stop()

    def after_test_epoch(self, runner: Runner, metrics: Any = None) -> None:
        """Remove the bar."""
        self._stop()

    def _start(self, runner: Runner, dataset: Any) -> None:
        if is_main_process() and hasattr(dataset, "get_len_per_video"):
            lengths = [dataset.get_len_per_video(i) for i in range(len(dataset))]
            total = sum(lengths) / get_world_size()
            self._progress = VideoProgress(runner, total, self.interval)

    def _count(
        self,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[Any] | None = None,
    ) -> None:
        if self._progress is not None:
            self._progress.finish_videos(sum(map(len, outputs or ())))

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.close()
            self._progress = None


class VideoProgress:
    """Counts predicted frames and shows the time left.

    Args:
        runner: The runner; its model's parts say how far they are in a video.
        num_frames: How many frames this process predicts.
        interval: Seconds between two lines of the log, where there is no terminal.
    """

    def __init__(self, runner: Runner, num_frames: float, interval: float) -> None:
        self.num_frames = num_frames
        self.done = 0.0  # frames, with the parts of those that are worked on
        self._finished = 0  # frames of videos that are complete
        self._logger = runner.logger
        self._interval = interval
        self._started = self._shown = time.monotonic()
        self._handles = self._watch(runner.model)
        self._bar = _bar() if sys.stderr.isatty() else None
        if self._bar is not None:
            self._task = self._bar.add_task("predicting", total=num_frames)
            self._bar.start()

    def _watch(self, model: Any) -> list[RemovableHandle]:
        """Be told when a part of the model is done with some frames."""
        model = model.module if is_model_wrapper(model) else model
        handles = []
        for name, (share, dim) in _STAGES.items():
            try:
                part = model.get_submodule(name)
            except AttributeError:  # another model; whole videos are counted
                continue
            modules = list(part) if isinstance(part, nn.ModuleList) else [part]
            for module in modules:
                handles.append(
                    module.register_forward_hook(
                        self._counter(share / len(modules), dim)
                    )
                )
        return handles

    def _counter(self, share: float, dim: int) -> Any:
        def count(module: nn.Module, inputs: Any, outputs: Any) -> None:
            first = outputs[0] if isinstance(outputs, tuple | list) else outputs
            self._show(self.done + share * first.size(dim))

        return count

    def finish_videos(self, num_frames: int) -> None:
        """Count the frames of videos that are complete, to the number.

        Args:
            num_frames: How many they have.
        """
        self._finished += num_frames
        self._show(self._finished)

    def _show(self, done: float) -> None:
        self.done = min(done, self.num_frames)
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done)
            return
        now = time.monotonic()
        if now - self._shown >= self._interval and self.done:
            self._shown = now
            left = (now - self._started) * (self.num_frames / self.done - 1)
            self._logger.info(
                f"{self.done:.0f} of {self.num_frames:.0f} frames predicted, "
                f"{datetime.timedelta(seconds=round(left))} left"
            )

    def close(self) -> None:
        """Stop watching the model and remove the bar."""
        for handle in self._handles:
            handle.remove()
        if self._bar is not None:
            self._bar.stop()


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f} frames"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
