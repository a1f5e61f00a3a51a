"""How commands that install or look around are checked, without being carried out."""

import argparse
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from packaging.requirements import Requirement
from pip._internal.commands import create_command

from mmtaformer.version import __version__ as version

from ..helpers.golden import REPO_ROOT
from .checkout import Checkout
from .command import Command, parsed


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
