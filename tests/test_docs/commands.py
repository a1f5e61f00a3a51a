"""How each command of the pages is run: as written, on small models and little data.

:data:`RULES` says for each kind of command what is reduced. A command without a rule
fails.
"""

import argparse
import os
import re
import shlex
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from unittest import mock

from mmdet.registry import MODELS
from mmengine.config import Config
from packaging.requirements import Requirement
from pip._internal.commands import create_command

from mmtaformer.version import __version__ as version

from ..golden import REPO_ROOT
from ..test_configs.config_files import unknown_keys
from ..test_configs.small import small_model
from .checkout import TINY, Checkout
from .pages import Block

# Names in capitals on the pages, and what they stand for.
PLACEHOLDERS = {
    "CONFIG": TINY,
    "CHECKPOINT": "work_dirs/taformer_tiny_synthvis/random.pth",
    "PARTITION": "partition",
}
_ASSIGNMENT = re.compile(r"[A-Z][A-Z0-9_]*=")


@dataclass(frozen=True)
class Command:
    """One command of a block.

    Attributes:
        text: As it stands on the page, on one line.
        environment: Variables that are set in front of it.
        words: The program and its arguments, without what the rule was found by.
    """

    text: str
    environment: Mapping[str, str]
    words: list[str]


def split_commands(block: Block) -> list[str]:
    """The commands of a block, each on one line, without comments."""
    lines = block.text.replace("\\\n", " ").splitlines()
    commands = [re.sub(r"(^|\s)#.*$", "", line).strip() for line in lines]
    return [" ".join(command.split()) for command in commands if command]


def run_command(text: str, checkout: Checkout, load_tool: Callable) -> None:
    """Run a command by its rule.

    Args:
        text: The command.
        checkout: Where it runs; the working directory.
        load_tool: Fixture of that name.

    Raises:
        AssertionError: If no rule covers it, or it does not work.
    """
    words = shlex.split(checkout.expand(text, PLACEHOLDERS))
    environment = {}
    while words and _ASSIGNMENT.match(words[0]):
        name, _, value = words.pop(0).partition("=")
        environment[name] = value
    for prefix in sorted(RULES, key=len, reverse=True):
        start = prefix.split()
        if words[: len(start)] == start:
            command = Command(text, environment, words[len(start) :])
            with mock.patch.dict(os.environ, environment):
                return RULES[prefix](command, checkout, load_tool)
    raise AssertionError(f"no rule of tests/test_docs/commands.py covers: {text}")


def parsed(tool: ModuleType, words: list[str]) -> argparse.Namespace:
    """The arguments, or an AssertionError that names the wrong one."""
    try:
        return tool.parse_args(words)
    except SystemExit as error:
        raise AssertionError(f"{tool.__name__} does not accept {words}") from error


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


def pip(command: Command, checkout: Checkout, load_tool: Callable) -> None:
    """Options that pip knows, files that exist, versions that are required here."""
    name, *words = command.words
    options, names = create_command(name).parse_args(words)
    for path in getattr(options, "requirements", []):
        assert (REPO_ROOT / path).is_file(), f"there is no {path}"
        requirements(REPO_ROOT / path)
    for path in getattr(options, "editables", []):
        assert (REPO_ROOT / path / "pyproject.toml").is_file()
    pinned = {
        requirement.name.replace("-", "_"): requirement
        for path in (REPO_ROOT / "requirements").glob("*.txt")
        for requirement in requirements(path)
    }
    if name == "cache":
        assert names[0] == "remove"
        names = names[1:]
        # pip looks for the name as it is in the names of files.
        assert all("-" not in name for name in names)
    for text in names:
        if text.endswith(".whl"):
            assert Path(text).name == f"mmtaformer-{version}-py3-none-any.whl"
        if text == "." or text.endswith(".whl"):
            continue
        requirement = Requirement(text)
        expected = pinned[requirement.name.replace("-", "_")]
        assert not requirement.specifier or requirement.specifier == expected.specifier


def requirements(path: Path) -> list[Requirement]:
    """The requirements of a file, each pinned."""
    lines = [
        re.sub(r"(^|\s)#.*", "", line).strip() for line in path.read_text().split("\n")
    ]
    found = [Requirement(line) for line in lines if line and not line.startswith("-")]
    assert all(str(r.specifier).startswith("==") for r in found)
    return found


def activate(command: Command, checkout: Checkout, load_tool: Callable) -> None:
    """The environment that tools/setup_env.sh makes."""
    (path,) = command.words
    folder = path.removesuffix("/bin/activate")
    assert folder != path
    assert f'default="{folder}"' in (REPO_ROOT / "tools" / "setup_env.sh").read_text()


def sphinx_build(command: Command, checkout: Checkout, load_tool: Callable) -> None:
    """The command of tests/test_docs/test_build.py."""
    *options, source, _ = command.words
    assert options == ["-W", "--keep-going", "-b", "html"]
    assert (REPO_ROOT / source / "conf.py").is_file()


def pre_commit(command: Command, checkout: Checkout, load_tool: Callable) -> None:
    assert command.words == ["install"]
    assert (REPO_ROOT / ".pre-commit-config.yaml").is_file()


def mim(command: Command, checkout: Checkout, load_tool: Callable) -> None:
    """Configs and scripts that the package carries, and arguments they accept."""
    action, package, name, *words = command.words
    assert package == "mmtaformer"
    if action == "search":
        options = {word for word in (name, *words) if word.startswith("--")}
        assert options <= {"--model", "--dataset", "--field", "--valid-config"}
        return
    if action == "run":
        (path,) = (REPO_ROOT / "tools").glob(f"**/{name}.py")
        parsed(load_tool(str(path.relative_to(REPO_ROOT / "tools"))), words)
        return
    assert action in ("train", "test"), action
    pattern = name if name.startswith("configs/") else f"configs/**/{name}"
    (config,) = REPO_ROOT.glob(pattern)
    # Options of mim itself.
    options = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    options.add_argument("--gpus")
    options.add_argument("--checkpoint", required=action == "test")
    own, rest = options.parse_known_args(words)
    positional = [str(config)] + [own.checkpoint] * (action == "test")
    parsed(load_tool(f"{action}.py"), [*positional, *rest])


def search(command: Command, checkout: Checkout, load_tool: Callable) -> None:
    """As written; finding nothing is no error."""
    done = subprocess.run(["bash", "-c", command.text], check=False)
    assert done.returncode in (0, 1)


def clone(command: Command, checkout: Checkout, load_tool: Callable) -> None:
    """The form of the address only."""
    assert re.fullmatch(r"(https://|git@)\S+|URL", command.words[0])


def change_directory(command: Command, checkout: Checkout, load_tool: Callable) -> None:
    assert command.words == ["mmtaformer"]


RULES: Mapping[str, Callable[[Command, Checkout, Callable], None]] = {
    "python tools/train.py": train,
    "python tools/test.py": test,
    "python tools/analysis_tools/benchmark.py": parse_only(
        "analysis_tools/benchmark.py"
    ),
    "python tools/analysis_tools/browse_results.py": run_tool(
        "analysis_tools/browse_results.py"
    ),
    "python tools/analysis_tools/count_params.py": run_tool(
        "analysis_tools/count_params.py"
    ),
    "python tools/analysis_tools/eval_results.py": run_tool(
        "analysis_tools/eval_results.py"
    ),
    "python tools/dataset_converters/generate_synthvis.py": generate,
    "python tools/model_converters/convert_checkpoint.py": convert,
    "python docs/memory.py": memory,
    "bash": lambda command, *rest: _bash(command, *rest),
    "pip": pip,
    "mim": mim,
    "source": activate,
    "sphinx-build": sphinx_build,
    "pre-commit": pre_commit,
    "grep": search,
    "git clone": clone,
    "cd": change_directory,
}
SCRIPTS = {
    "dist_train.sh": launch,
    "dist_test.sh": launch,
    "slurm_train.sh": launch,
    "slurm_test.sh": launch,
    "quickstart.sh": script,
    "run_tests.sh": script,
    "setup_env.sh": script,
}


def _bash(command: Command, checkout: Checkout, load_tool: Callable) -> None:
    """A script of tools/."""
    folder, _, name = command.words[0].rpartition("/")
    assert folder == "tools" and name in SCRIPTS, f"no rule covers: {command.text}"
    words = [name, *command.words[1:]]
    SCRIPTS[name](
        Command(command.text, command.environment, words), checkout, load_tool
    )
