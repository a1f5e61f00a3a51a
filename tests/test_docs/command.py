"""Commands as they stand in the blocks of a page."""

import argparse
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType

from .pages import Block


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


def parsed(tool: ModuleType, words: list[str]) -> argparse.Namespace:
    """The arguments, or an AssertionError that names the wrong one."""
    try:
        return tool.parse_args(words)
    except SystemExit as error:
        raise AssertionError(f"{tool.__name__} does not accept {words}") from error
