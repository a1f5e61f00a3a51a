"""The README of the project: its commands and the table of the ablation."""

import importlib
import re
import shlex
from pathlib import Path

import pytest
from ablation_rows import ROWS

from ..helpers.golden import REPO_ROOT
from .conftest import PROJECT

README = (PROJECT / "README.md").read_text()
BLOCKS = re.findall(r"^```bash\n(.*?)^```", README, re.M | re.S)
COMMANDS = [
    shlex.split(line, comments=True)
    for block in BLOCKS
    for line in block.replace("\\\n", " ").splitlines()
    if line.startswith("python projects/taformer/")
]


@pytest.mark.parametrize(
    "command", COMMANDS, ids=lambda command: " ".join(command[1:4])
)
def test_commands_are_understood(command):
    module = importlib.import_module(Path(command[1]).stem)
    args = module.parse_args(command[2:])
    for path in command[1:]:
        if path.endswith(".py"):
            assert (REPO_ROOT / path).is_file()
    for _, config, checkpoint in getattr(args, "model", []):
        assert Path(config).stem in checkpoint.split("/")


def test_every_tool_has_a_command():
    tools = {path.name for path in PROJECT.glob("*.py") if "main()" in path.read_text()}
    assert {Path(command[1]).name for command in COMMANDS} == tools


def test_rows_of_the_ablation():
    lines = re.findall(
        r"^\| (\d) \| (.*?) \| \[config\]\((.*?)\) \| (.*?) \|", README, re.M
    )
    assert lines == [
        (
            str(row.table),
            row.label,
            f"ablation/{row.config}.py",
            " / ".join(f"{figure:.1f}" for figure in row.paper),
        )
        for row in ROWS
    ]
