"""The configs of the repository, and what makes a key of theirs a known one."""

import ast
import functools
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mmdet.registry
import mmengine.registry
from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.runner import Runner

from .golden import REPO_ROOT

BASES = sorted(REPO_ROOT.glob("configs/_base_/**/*.py"))
CONFIGS = [
    path
    for pattern in ("configs/*/*.py", "projects/*/configs/**/*.py")
    for path in sorted(REPO_ROOT.glob(pattern))
    if "_base_" not in path.parts
]

REGISTRIES = [r for r in vars(mmdet.registry).values() if isinstance(r, Registry)]
REGISTRIES += [mmengine.registry.STRATEGIES, mmengine.registry.FUNCTIONS]
# Read from the config, or by tools/, without being arguments of the usual runner.
BESIDE_THE_RUNNER = {
    *("custom_imports", "vis_backends", "find_unused_parameters"),
    *("runner_type", "strategy"),
}
# Taken out by the function that builds the class.
BUILD_KEYS = {
    "OptimWrapper": {"constructor", "paramwise_cfg"},
    "OneCycleLR": {"convert_to_iter_based"},
    "MultiStepLR": {"convert_to_iter_based"},
    "RandomChoiceResize": {"keep_ratio"},
    "BN": {"requires_grad"},
}
# Sections that are dictionaries to the class that reads them.
SECTIONS = {
    "auto_scale_lr": {"enable", "base_batch_size"},
    "env_cfg": {"cudnn_benchmark", "mp_cfg", "dist_cfg", "resource_limit"},
    "paramwise_cfg": {
        *("custom_keys", "base_lr_mult", "norm_decay_mult", "bias_decay_mult"),
        *("bias_lr_mult", "flat_decay_mult", "bypass_duplicate"),
    },
    "test_cfg": {
        *("max_per_video", "encode_masks", "frames_per_chunk", "return_embeddings"),
        "type",
    },
    "filter_cfg": {"filter_empty_gt"},
}


def name_of(path: Path) -> str:
    return str(path.relative_to(REPO_ROOT))


@functools.cache
def names_of_bases() -> set[str]:
    """What the configs of the repository use as ``_base_.name``."""
    return {
        node.attr
        for path in BASES + CONFIGS
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "_base_"
    }


def unused_names(path: Path) -> list[str]:
    """Top-level names of a config file that nothing reads.

    A name is read if it is an argument of the runner, is used in the file, or is
    used as ``_base_.name`` in some config.
    """
    known = {"_base_", *inspect.signature(Runner.__init__).parameters}
    known |= BESIDE_THE_RUNNER | names_of_bases()
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            known.add(node.id)
    assigned = [
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]
    return [name for name in assigned if name not in known]


def unknown_keys(config: Config) -> list[str]:
    """Keys of a config that the class or section they belong to does not know."""
    return [f"{where}.{key}" for where, key in _unknown(config._cfg_dict, "")]


def _unknown(node: Any, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from _unknown(value, f"{where}.{index}")
    if not isinstance(node, dict):
        return
    known = SECTIONS.get(where.rpartition(".")[2])
    if "type" in node:
        known = _arguments(node["type"])
    if known is not None:
        yield from ((where, key) for key in node if key not in known)
    for key, value in node.items():
        yield from _unknown(value, f"{where}.{key}")


@functools.cache
def _arguments(type_name: str) -> set[str]:
    """Arguments of a registered class, with those that it hands to its parents."""
    found = (r.get(type_name) for r in REGISTRIES)
    cls = next((cls for cls in found if cls is not None), None)
    if cls is None:
        return set()
    arguments = {"type", "init_cfg"} | BUILD_KEYS.get(type_name, set())
    for parent in cls.__mro__ if inspect.isclass(cls) else [cls]:
        function = vars(parent).get("__init__") if inspect.isclass(cls) else parent
        if function is None:
            continue
        parameters = inspect.signature(function).parameters.values()
        arguments |= {parameter.name for parameter in parameters} - {"self"}
        if all(p.kind is not p.VAR_KEYWORD for p in parameters):
            break
    return arguments
