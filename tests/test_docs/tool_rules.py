"""How the project's tools and scripts are run: on small models and little data."""

import argparse
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from mmdet.registry import MODELS
from mmengine.config import Config

from ..helpers.config_files import unknown_keys
from ..helpers.golden import REPO_ROOT
from ..helpers.small_configs import small_model
from .checkout import Checkout
from .command import Command, parsed


def checked_config(args: argparse.Namespace) -> Config:
    """The config of a command line: it exists, and every key has a reader."""
    assert (REPO_ROOT / args.config).is_file(), f"there is no config {args.config}"
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options or {})
    assert wrong_keys(cfg) == []
    return cfg


def wrong_keys(cfg: Config) -> list[str]:
    """Keys without a reader, except those that mmengine adds for packages."""
    return [key for key in unknown_keys(cfg) if not key.endswith("._scope_")]


def train(command: Command, checkout: Checkout, load_tool: Callable) -> None:
    """One epoch of a small model on one video."""
    tool = load_tool("train.py")
    args = parsed(tool, command.words)
    checked_config(args)
    load_config = tool.load_config
    with mock.patch.object(
        tool, "load_config", lambda a: checkout.small(load_config(a))
    ):
        tool.main(command.words)
    work_dir = args.work_dir or f"work_dirs/{Path(args.config).stem}"
    assert (checkout.root / work_dir / "epoch_1.pth").is_file()


def test(command: Command, checkout: Checkout, load_tool: Callable) -> None:
    """A small model on one video."""
    tool = load_tool("test.py")
    args = parsed(tool, command.words)
    checkout.checkpoint(args.checkpoint, checkout.small(checked_config(args)))
    load_config = tool.load_config
    with mock.patch.object(
        tool, "load_config", lambda a: checkout.small(load_config(a))
    ):
        tool.main(command.words)
    if args.out is not None:
        assert Path(args.out).is_file()
    if args.show_dir is not None:
        assert any(Path(args.show_dir).iterdir())


def launch(command: Command, checkout: Checkout, load_tool: Callable) -> None:
    """The script runs; what it would start is written down and checked."""
    script = REPO_ROOT / "tools" / command.words[0]
    calls, stand_in = checkout.root / "calls", checkout.root / "bin" / "srun"
    stand_in.parent.mkdir(exist_ok=True)
    stand_in.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >"{calls}"\n')
    stand_in.chmod(0o755)
    environment = {**os.environ, "PATH": f"{stand_in.parent}:{os.environ['PATH']}"}
    environment["PYTHON"] = str(stand_in)
    done = subprocess.run(
        ["bash", str(script), *command.words[1:]],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    words = calls.read_text().splitlines()
    (start,) = (
        i for i, w in enumerate(words) if re.search(r"tools/(train|test)\.py$", w)
    )
    name = Path(words[start]).name
    args = parsed(load_tool(name), words[start + 1 :])
    assert args.launcher == ("slurm" if "slurm" in command.words[0] else "pytorch")
    cfg = checked_config(args)
    if name == "test.py":
        checkout.checkpoint(args.checkpoint)
    load_from = (args.cfg_options or {}).get("load_from")
    assert load_from is None or load_from.startswith("checkpoints/")
    small_model(cfg.model)
    MODELS.build(cfg.model)


def run_tool(name: str) -> Callable:
    """As written, after making the files that it reads."""

    def run(command: Command, checkout: Checkout, load_tool: Callable) -> None:
        tool = load_tool(name)
        args = parsed(tool, command.words)
        if hasattr(args, "results"):
            checkout.results(args.results, args.gt)
        tool.main(command.words)
        for option in ("json", "sheet"):
            if getattr(args, option, None):
                assert Path(getattr(args, option)).is_file()

    return run


def parse_only(name: str) -> Callable:
    """Options only: what takes minutes has tests of its own."""

    def run(command: Command, checkout: Checkout, load_tool: Callable) -> None:
        parsed(load_tool(name), command.words)

    return run


def generate(command: Command, checkout: Checkout, load_tool: Callable) -> None:
    """Two videos of two frames, into another folder."""
    tool = load_tool("dataset_converters/generate_synthvis.py")
    parsed(tool, command.words)
    numbers = ("--num-train-videos", "--num-val-videos", "--workers")
    reduced = [word for name in numbers for word in (name, "1")]
    tool.main(
        [*command.words, *reduced, "--num-frames", "2", "--out", "generated"]
        + ["--size", "64", "48", "--overwrite"]
    )
    assert (checkout.root / "generated" / "train.json").is_file()


def convert(command: Command, checkout: Checkout, load_tool: Callable) -> None:
    """A checkpoint of a small model into the small model of the config."""
    tool = load_tool("model_converters/convert_checkpoint.py")
    args = parsed(tool, command.words)
    assert args.source == "seqformer", "only SeqFormer's checkpoints are made here"
    checkout.released_checkpoint(args.src)

    def build_model(config, options=None):
        cfg = Config.fromfile(config)
        cfg.merge_from_dict(options or {})
        small_model(cfg.model)
        return MODELS.build(cfg.model)

    with mock.patch.object(tool, "build_model", build_model):
        tool.main(command.words)
    assert (checkout.root / args.dst).is_file()


def memory(command: Command, checkout: Checkout, load_tool: Callable) -> None:
    """A small model on small frames."""
    tool = load_tool("../docs/memory.py")
    args = parsed(tool, command.words)
    checked_config(args)
    build = tool.build

    def build_small(model_cfg):
        small_model(model_cfg)
        return build(model_cfg)

    with mock.patch.object(tool, "build", build_small):
        tool.main([*command.words, "--size", "64", "96", "--frames", "2"])


def script(command: Command, checkout: Checkout, load_tool: Callable) -> None:
    """Syntax, and that every argument is one that the script knows or a file."""
    path = REPO_ROOT / "tools" / command.words[0]
    done = subprocess.run(["bash", "-n", str(path)], capture_output=True, check=False)
    assert done.returncode == 0
    lines = path.read_text().splitlines()
    code = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    for word in command.words[1:]:
        known = rf"(?<![\w-]){re.escape(word)}(?![\w-])"
        stack = REPO_ROOT / "requirements" / f"{word}.txt"
        exists = (REPO_ROOT / word).exists() or stack.is_file()
        assert exists or re.search(known, code), f"{path.name} does not know {word}"
