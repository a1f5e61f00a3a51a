from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from mmdet.registry import HOOKS
from mmengine.dist import broadcast_object_list, is_main_process, master_only
from mmengine.fileio import LocalBackend, get_file_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from mmtaformer.utils.errors import DataError
from mmtaformer.utils.files import atomic_path
from mmtaformer.utils.resume import (
    INTERRUPTED,
    find_checkpoint_to_resume,
    named_checkpoint,
)


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook``, made to survive a crash at any moment.

    - A checkpoint and ``last_checkpoint`` appear under their names when they are
      complete, and what they replace is removed after that. A full disk leaves the
      files as they were.
    - ``--resume`` goes on from the newest whole checkpoint where ``last_checkpoint``
      names none, and says so.
    - Weights that are not finite are not saved.
    - It removes checkpoints of its own folder only, whatever a resumed checkpoint says
      the last ones were.

    Args:
        kwargs: See mmengine's ``CheckpointHook``.
    """

    backend_args: dict | None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._saved: dict[str, int] = {}  # where the run was at the last save
        folder = self.out_dir or "."
        backend = get_file_backend(folder, backend_args=self.backend_args)
        if isinstance(backend, LocalBackend):
            self.backend_args = dict(backend="atomic")

    def before_run(self, runner: Runner) -> None:
        """Choose what ``--resume`` without a path goes on from."""
        if not runner._resume or runner._load_from is not None:
            return
        chosen: list[Path | None] = [None]
        if is_main_process():
            pattern = self.filename_tmpl.format("*")
            chosen = [find_checkpoint_to_resume(runner.work_dir, pattern)]
            _explain(runner, chosen[0])
        broadcast_object_list(chosen)
        if chosen[0] is None:
            runner._resume = False
        else:
            runner._load_from = str(chosen[0])

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Refuse to resume from mere weights.

        Raises:
            DataError: If the checkpoint lacks what a run goes on with.
        """
        if not runner._resume:
            return
        needed: dict[str, tuple] = dict(
            meta=("epoch", "iter"),
            message_hub=("log_scalars", "runtime_info", "resumed_keys"),
            optimizer=(),
        )
        for key, parts in needed.items():
            if key not in checkpoint or not {*parts} <= {*checkpoint[key]}:
                raise DataError(
                    f"{runner._load_from} cannot be resumed: it holds weights, but not "
                    f"the state of a run ({key!r} is missing). To start from its "
                    "weights set load_from, without --resume."
                )

    def before_train(self, runner: Runner) -> None:
        """Take over what the resumed run had saved, in this folder only."""
        info = runner.message_hub.runtime_info
        if not all(type(step) is int for step in info.get("keep_ckpt_ids", [])):
            info.pop("keep_ckpt_ids")
        super().before_train(runner)
        for key, path in dict(self._best_paths()).items():
            name = Path(path).name
            own = self.file_backend.join_path(self.out_dir, name)
            self._set_best_path(key, own if name.startswith("best_") else None)

    def save_interrupted(self, runner: Runner, in_epoch: bool) -> Path:
        """Save where the run is now, to go on exactly there.

        Args:
            runner: The runner.
            in_epoch: Whether it is called after a training step, whose iteration is
                not counted yet.

        Returns:
            The checkpoint, which is the last one if that was saved just here.
        """
        meta = dict(epoch=runner.epoch, iter=runner.iter + in_epoch)
        if meta == self._saved:
            return Path(self.last_ckpt)
        self._save_as(runner, INTERRUPTED, meta, by_epoch=False)
        return Path(self.out_dir, INTERRUPTED)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        outdated = []
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            before = list(self.keep_ckpt_ids)
            self.keep_ckpt_ids.append(step)  # which drops the first of a full one
            outdated = [old for old in before if old not in self.keep_ckpt_ids]
            # Those too, so that a resumed run removes them if this one does not get to.
            runner.message_hub.update_info("keep_ckpt_ids", [*before, step])
        where = dict(meta)  # before the runner adds to it
        name = self.filename_tmpl.format(step)
        self._save_as(runner, name, meta, by_epoch=self.by_epoch)
        self._saved = where
        self._remove(INTERRUPTED)
        for old in outdated:
            self._remove(self.filename_tmpl.format(old))

    def _save_as(self, runner: Runner, name: str, meta: dict, by_epoch: bool) -> None:
        """Write a checkpoint, then the file that names it."""
        _require_finite(runner)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info("last_ckpt", self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            with atomic_path(Path(runner.work_dir, "last_checkpoint")) as partial:
                partial.write_text(self.last_ckpt)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        """Save it as mmengine does, but remove the former one afterwards."""
        former = dict(self._best_paths())
        for key in former:
            self._set_best_path(key, None)
        super()._save_best_checkpoint(runner, metrics)
        for key, path in former.items():
            new = dict(self._best_paths()).get(key)
            if new is None:
                self._set_best_path(key, path)
            elif new != path:
                self._remove(Path(path).name)

    def _best_paths(self) -> Iterator[tuple[str, str]]:
        paths = getattr(self, "best_ckpt_path_dict", None)
        if paths is None:
            paths = {"": getattr(self, "best_ckpt_path", None)}
        yield from ((key, path) for key, path in paths.items() if path)

    def _set_best_path(self, key: str, path: str | None) -> None:
        if key:
            self.best_ckpt_path_dict[key] = path
        else:
            self.best_ckpt_path = path

    @master_only
    def _remove(self, name: str) -> None:
        path = self.file_backend.join_path(self.out_dir, name)
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)


def _explain(runner: Runner, chosen: Path | None) -> None:
    """Say which checkpoint is resumed if it is not the one that was expected."""
    if chosen is not None and chosen == named_checkpoint(runner.work_dir):
        return
    last = Path(runner.work_dir, "last_checkpoint")
    if chosen is not None:
        text = f"going on from {chosen}, the newest one that is whole."
    elif last.exists():
        text = f"{runner.work_dir} has no other one: training starts anew."
    else:
        return  # a first run
    runner.logger.warning(f"{last} names no whole checkpoint; {text}")


def _require_finite(runner: Runner) -> None:
    """Look at parameters and buffers once more before they are saved.

    Raises:
        FloatingPointError: If one is not finite.
    """
    model = runner.model
    for name, value in chain(model.named_parameters(), model.named_buffers()):
        if value.is_floating_point() and not value.isfinite().all():
            last = runner.message_hub.runtime_info.get("last_ckpt", "none")
            raise FloatingPointError(
                f"The weights are not finite after iteration {runner.iter} (first of "
                f"them: {name}), so they are not saved. The last checkpoint is {last}; "
                "lower the learning rate, or train without --amp."
            )
