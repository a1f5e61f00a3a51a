"""Mistakes in a config that a run would pass over, or meet only after hours."""

import ast
import difflib
import functools
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import mmdet.registry
import mmengine.registry
from mmdet.registry import METRICS
from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.runner import Runner
from mmengine.runner._flexible_runner import FlexibleRunner

from ..errors import UsageError
from .sections import sections

# Top-level keys that are read: arguments of the runners, and what runners, hooks and
# tools of OpenMMLab look up in the config themselves.
READ = {
    *inspect.signature(Runner.__init__).parameters,
    *inspect.signature(FlexibleRunner.__init__).parameters,
    *("activation_checkpointing", "backend_args", "compile", "custom_imports"),
    *("efficient_conv_bn_eval", "find_unused_parameters", "model_wrapper_cfg"),
    *("runner_type", "strategy", "sync_bn", "tta_model", "tta_pipeline"),
    *("vis_backends", "gpu_ids"),
} - {"self", "cfg"}

# Variables that configs of OpenMMLab have by custom, whether they use them or not.
_CUSTOMARY = {"train_pipeline", "val_pipeline", "test_pipeline", "test_dataset"}

# Keys of MMDetection 2 that nothing reads any more.
_FORMER = {
    "checkpoint_config": "default_hooks.checkpoint",
    "data": "train_dataloader, val_dataloader and test_dataloader",
    "evaluation": "val_evaluator",
    "log_config": "default_hooks.logger",
    "lr_config": "param_scheduler",
    "optimizer": "optim_wrapper.optimizer",
    "optimizer_config": "optim_wrapper.clip_grad",
    "resume_from": "load_from and resume",
    "total_epochs": "train_cfg.max_epochs",
}

# Numbers and the smallest value that makes sense, wherever they stand.
_AT_LEAST = {
    **dict.fromkeys(("batch_size", "max_epochs", "max_iters", "val_interval"), 1),
    **dict.fromkeys(("num_workers", "lr", "weight_decay"), 0),
}
_REGISTRIES = [
    *(r for r in vars(mmdet.registry).values() if isinstance(r, Registry)),
    mmengine.registry.STRATEGIES,
    mmengine.registry.FUNCTIONS,
]


def closest(name: str, known: Iterable[str], cutoff: float = 0.85) -> str | None:
    """Return the known name that a misspelt one was probably meant to be.

    Args:
        name: What was written.
        known: What could be meant.
        cutoff: How alike they must be, from 0 to 1. Capitals make no difference.
    """
    lower = {word.lower(): word for word in sorted(set(known))}
    matches = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=cutoff)
    return lower[matches[0]] if matches else None


def check_config(cfg: Config) -> None:
    """Refuse a config with mistakes that would pass silently or surface late.

    Helper variables, and keys that only a user's own code reads, are legal: a key is
    refused if nothing is known to read it and its name is close to one that is read.

    Args:
        cfg: The whole config.

    Raises:
        UsageError: In one sentence, what is wrong, and what was probably meant.
    """
    for problem in (
        *_unknown_sections(cfg),
        *_unknown_names(cfg),
        *_unknown_randomness(cfg),
        *_small_numbers(cfg),
        *_unknown_figures(cfg),
        *_short_cycles(cfg),
    ):
        raise UsageError(problem)


def helper_names(cfg: Config) -> set[str]:
    """Return the names that files of a config use as variables, ``_base_.x`` too."""
    # Config joins its files, each after a line with its path.
    parts = re.split(r"^[^\s#].*\.py$", cfg.text or "", flags=re.MULTILINE)
    names = set()
    for part in parts:
        try:
            tree = ast.parse(part)
        except SyntaxError:  # not Python: every word may be one
            names |= set(re.findall(r"\b[a-zA-Z_]\w*", part))
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                names.add(node.id)
            elif isinstance(node, ast.Attribute):
                names.add(node.attr)
    return names


def _unknown_sections(cfg: Config) -> Iterator[str]:
    for name in cfg.keys() - READ - _CUSTOMARY - helper_names(cfg):
        meant = _FORMER.get(name) or closest(name, READ)
        if meant:
            yield f"Nothing reads {name!r} in the config; did you mean {meant}?"


def _unknown_randomness(cfg: Config) -> Iterator[str]:
    known = set(inspect.signature(Runner.set_randomness).parameters) - {"self"}
    for key in (cfg.get("randomness") or {}).keys() - known:
        yield f"randomness has no {key!r}; it takes {', '.join(sorted(known))}."


def _unknown_names(cfg: Config) -> Iterator[str]:
    """Find types that are not registered and arguments that a class has not."""
    for where, section in sections(cfg._cfg_dict):
        kind = section.get("type")
        if isinstance(kind, str) and where.partition(".")[0] in READ:
            yield from _unknown_arguments(section, kind, where)


# What mmcv builds layers from; it fails with the registry's own error.
_LAYER_CFGS = ("norm_cfg", "act_cfg", "conv_cfg")


def _unknown_arguments(node: Mapping, kind: str, where: str) -> Iterator[str]:
    registered = _registered(kind)
    if registered is None:
        meant = closest(kind, _registered_names(), cutoff=0.75)
        # Words without capitals mean something to the class that gets them.
        hint = f"; did you mean {meant!r}?" if meant else "."
        of_a_layer = where.rpartition(".")[2] in _LAYER_CFGS
        if of_a_layer or (meant and kind != kind.lower()):
            yield f"There is no {kind!r} for {where}.type{hint}"
        return
    arguments = _arguments(registered)
    for key in node.keys() - arguments if arguments else ():
        meant = closest(key, arguments)
        if meant:
            yield f"{kind} has no argument {key!r} ({where}); did you mean {meant!r}?"


def _registered_names() -> set[str]:
    return {name for registry in _REGISTRIES for name in _all_modules(registry)}


def _all_modules(registry: Registry) -> Iterator[str]:
    yield from registry.module_dict
    if registry.parent is not None:
        yield from _all_modules(registry.parent)


def _registered(kind: str) -> Any:
    """Return the class or function of a name, None if no registry has it."""
    found = (registry.get(kind) for registry in _REGISTRIES)
    return next((obj for obj in found if obj is not None), None)


@functools.cache
def _arguments(obj: Any) -> set[str]:
    """Return the arguments of a class and its parents; empty if they are not sure."""
    names = {"type", "_scope_", "init_cfg", "priority"}  # read by whoever builds it
    for parent in inspect.getmro(obj) if inspect.isclass(obj) else [obj]:
        function = vars(parent).get("__init__") if inspect.isclass(obj) else parent
        if hasattr(function, "__wrapped__"):  # mmcv renames former arguments so
            return set()
        if function is not None and function is not object.__init__:
            names |= set(inspect.signature(function).parameters) - {"self"}
    return names


def _small_numbers(cfg: Config) -> Iterator[str]:
    """Find numbers below what makes sense for their name."""
    for where, section in sections(cfg._cfg_dict):
        for key in section.keys() & _AT_LEAST:
            value, least = section[key], _AT_LEAST[key]
            if isinstance(value, int | float) and value < least:
                path = f"{where}.{key}" if where else key
                yield f"{path} is {value}, but must be at least {least}."


def _unknown_figures(cfg: Config) -> Iterator[str]:
    """Find hooks that wait for a figure that validation does not report."""
    reported = _reported_figures(cfg.get("val_evaluator"))
    if not reported:
        return
    hooks = *(cfg.get("default_hooks") or {}).values(), *(cfg.get("custom_hooks") or ())
    for hook, key, figure in _awaited_figures(hooks):
        if figure in reported or figure == "auto":
            continue
        meant = closest(figure, reported)
        yield f"The val_evaluator does not report {key}={figure!r} of {hook}; " + (
            f"did you mean {meant!r}?"
            if meant
            else f"it reports {', '.join(sorted(reported))}."
        )


def _awaited_figures(hooks: Iterable[Any]) -> Iterator[tuple[str, str, str]]:
    """Give the hook, the argument and each figure that a hook waits for."""
    for hook in hooks:
        kind = hook.get("type") if isinstance(hook, Mapping) else None
        key = "monitor" if kind == "EarlyStoppingHook" else "save_best"
        figures = (hook.get(key) if isinstance(hook, Mapping) else None) or ()
        for figure in [figures] if isinstance(figures, str) else figures:
            yield str(kind), key, figure


def _reported_figures(evaluator: Any) -> set[str]:
    """Names of the figures of an evaluator; empty where one of its metrics has none.

    A metric class says what it reports by a function ``figure_names``, which takes
    the arguments that the class is built with.
    """
    metrics = evaluator if isinstance(evaluator, list | tuple) else [evaluator]
    names: set[str] = set()
    for metric in metrics:
        kind = metric.get("type") if isinstance(metric, Mapping) else None
        cls = METRICS.get(kind) if isinstance(kind, str) else kind
        if not hasattr(cls, "figure_names"):
            return set()
        arguments = {k: v for k, v in metric.items() if k != "type"}
        names |= set(cls.figure_names(**arguments))
    return names


def one_cycle_schedulers(cfg: Config) -> list[Mapping]:
    """Return the schedulers of a config that bring a parameter down to next to 0."""
    schedulers = cfg.get("param_scheduler") or []
    if not isinstance(schedulers, list | tuple):
        schedulers = [schedulers]
    return [s for s in schedulers if "OneCycle" in str(s.get("type"))]


def _short_cycles(cfg: Config) -> Iterator[str]:
    """Find one-cycle schedules after whose end a run would go on for nothing."""
    for scheduler in one_cycle_schedulers(cfg):
        key = "max_epochs" if scheduler.get("by_epoch", True) else "max_iters"
        end, length = scheduler.get("end"), (cfg.get("train_cfg") or {}).get(key)
        if end is not None and length is not None and length > end:
            yield (
                f"{scheduler['type']} brings the learning rate down to nothing by "
                f"{end}, but train_cfg.{key} is {length}: give param_scheduler the "
                f"same end."
            )
