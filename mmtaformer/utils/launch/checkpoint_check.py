"""Whether a checkpoint belongs to the model and the run that it is loaded into."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from ..checkpoint import load_checkpoint_file
from ..errors import DataError, UsageError
from ..resume import find_checkpoint_to_resume
from .config_check import one_cycle_schedulers

_LEAST_FIT = 0.1  # part of a model's numbers that a checkpoint to start from must have


@dataclass(frozen=True)
class Fit:
    """How the parameters and buffers of a checkpoint fit a model, by their names."""

    fitting: list[str]
    missing: list[str]
    unknown: list[str]
    reshaped: list[str]  # each with both shapes
    part: float  # of the model's numbers that the checkpoint has

    @property
    def differences(self) -> str:
        """What does not fit, with two examples of each kind; '' if all does."""
        kinds = {
            "the checkpoint lacks": self.missing,
            "of another shape": self.reshaped,
            "unknown to the model": self.unknown,
        }
        return "; ".join(
            f"{len(names)} {kind} ({', '.join(names[:2])}{', ...' * (len(names) > 2)})"
            for kind, names in kinds.items()
            if names
        )


def compare(model: nn.Module, weights: Mapping[str, Tensor]) -> Fit:
    """Compare names and shapes of a model's state with those of a checkpoint.

    Args:
        model: The model, without a wrapper for several processes.
        weights: Parameters and buffers by name.
    """
    given = {name.removeprefix("module."): value for name, value in weights.items()}
    state = model.state_dict()
    fitting = [n for n, v in state.items() if n in given and given[n].shape == v.shape]
    size = sum(value.numel() for value in state.values())
    return Fit(
        fitting=fitting,
        missing=[n for n in state if n not in given and not _is_counter(n)],
        unknown=[n for n in given if n not in state],
        reshaped=[
            f"{name} {tuple(given[name].shape)} for {tuple(value.shape)}"
            for name, value in state.items()
            if name in given and given[name].shape != value.shape
        ],
        part=sum(state[name].numel() for name in fitting) / max(size, 1),
    )


def _is_counter(name: str) -> bool:
    """Return whether mmengine passes over a buffer that a checkpoint lacks."""
    return name.endswith("num_batches_tracked")


def check_tested_weights(runner: Runner, partial: bool = False) -> None:
    """Refuse to test a checkpoint of another model, before data are loaded.

    Args:
        runner: The runner; ``load_from`` of its config is what is tested.
        partial: Test it nevertheless, with parameters at their initialization.

    Raises:
        UsageError: If the checkpoint and the model have not the same parameters.
        DataError: If the file is no checkpoint.
    """
    path = runner.cfg.load_from
    if "://" in path:
        return
    model, weights = _model(runner), _weights(load_checkpoint_file(path), path)
    if model is None or partial:
        return
    differences = compare(model, weights).differences
    if differences:
        raise UsageError(
            f"{path} is of another model than the config: of its parameters "
            f"{differences}. Take the config that it was trained with, or test it "
            "nevertheless with --partial-weights."
        )


def check_start(runner: Runner) -> None:
    """Look at the checkpoint that training starts from, before data are loaded.

    What is not loaded of ``load_from`` is said at the end of the start.

    Args:
        runner: The runner, with ``load_from`` and ``resume`` in its config.

    Raises:
        UsageError: If a resumed checkpoint is of another model, or of a schedule that
            cannot be continued; if next to nothing of ``load_from`` fits the model.
        DataError: If the file is no checkpoint.
    """
    cfg, path = runner.cfg, runner.cfg.get("load_from")
    if cfg.get("resume") and path is None:
        path = str(find_checkpoint_to_resume(runner.work_dir) or "")
    if not path or "://" in path or Path(path).is_dir():  # a folder is of FSDP
        return
    checkpoint = load_checkpoint_file(path)
    model, weights = _model(runner), _weights(checkpoint, path)
    if cfg.get("resume"):
        _check_schedule(cfg, checkpoint, path)
    if model is None:
        return
    fit = compare(model, weights)
    if cfg.get("resume") and fit.differences:
        raise UsageError(
            f"{path} cannot be resumed, because it is of another model than the "
            f"config: of its parameters {fit.differences}."
        )
    if fit.part < _LEAST_FIT:
        raise UsageError(
            f"{path} has next to nothing for the model of the config: of its "
            f"parameters {fit.differences}. Check load_from."
        )
    if fit.differences:
        runner.register_hook(
            _LastWord(
                f"Of {path} {len(fit.fitting)} parameters are loaded; not loaded: "
                f"{fit.differences}. The log file names them all."
            ),
            priority="LOWEST",
        )


def _model(runner: Runner) -> nn.Module | None:
    """Return the model; None where a strategy builds it later."""
    model: Any = runner.model
    if is_model_wrapper(model):
        model = model.module
    return model if isinstance(model, nn.Module) else None


def _weights(checkpoint: Mapping[str, Any], path: str) -> Mapping[str, Tensor]:
    weights = checkpoint.get("state_dict", checkpoint)
    if not all(isinstance(value, Tensor) for value in weights.values()):
        raise DataError(f"{path} has no weights: it is no checkpoint of a model.")
    return weights


def _check_schedule(cfg: Config, checkpoint: Mapping[str, Any], path: str) -> None:
    """Refuse a longer run where the learning rate came down for a shorter one."""
    if not one_cycle_schedulers(cfg):
        return
    before = _train_cfg(checkpoint.get("meta", {}).get("cfg", ""))
    for key in ("max_epochs", "max_iters"):
        length, now = before.get(key), cfg.train_cfg.get(key)
        if length is not None and now is not None and now > length:
            raise UsageError(
                f"{path} is of a run with {key}={length}, in which one cycle brings "
                f"the learning rate down to nothing; a run with {key}={now} cannot "
                f"go on from there. Keep {key}={length}, or start a new run from its "
                f"weights: --cfg-options load_from={path} instead of --resume."
            )


def _train_cfg(text: str) -> dict[str, Any]:
    """Read the numbers of ``train_cfg`` from a config's text, without running it."""
    try:
        nodes = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    for node in nodes:
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
            continue
        if [getattr(target, "id", None) for target in node.targets] == ["train_cfg"]:
            return {
                keyword.arg: keyword.value.value
                for keyword in node.value.keywords
                if keyword.arg and isinstance(keyword.value, ast.Constant)
            }
    return {}


class _LastWord(Hook):
    """Says something when everything is ready and training is about to begin."""

    def __init__(self, message: str) -> None:
        self._message = message

    def before_train(self, runner: Runner) -> None:
        runner.logger.info(self._message)
