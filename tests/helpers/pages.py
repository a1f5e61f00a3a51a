"""The pages of the documentation, and what can be read from them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .golden import REPO_ROOT

DOCS = REPO_ROOT / "docs" / "en"
PAGES = sorted(
    page
    for pattern in (
        *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**/*.md"),
        *("projects/**/README.md", "tools/**/README.md"),
    )
    for page in REPO_ROOT.glob(pattern)
    if "_build" not in page.parts
)

_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,}|:{3,})(?P<info>.*)$")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: The file it is in.
        line: Line of the opening fence, from 1.
        language: First word after the fence, such as ``bash`` or ``{image}``.
        argument: What follows it.
        text: What stands between the fences.
    """

    page: Path
    line: int
    language: str
    argument: str
    text: str

    def __str__(self) -> str:
        return f"{name_of(self.page)}:{self.line}"


def name_of(page: Path) -> str:
    return (
        str(page.relative_to(REPO_ROOT))
        if page.is_relative_to(REPO_ROOT)
        else (page.name)
    )


def read_blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page.

    Raises:
        ValueError: If a block is not closed, or has no language.
    """
    blocks, opening, lines = [], None, []
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        fence = _FENCE.match(line)
        if opening is None:
            if fence is not None:
                opening, lines = (number, fence), []
        elif line.strip() == opening[1]["fence"]:
            language, _, argument = opening[1]["info"].strip().partition(" ")
            if not language:
                raise ValueError(f"{name_of(page)}:{opening[0]}: no language")
            text = "\n".join(lines) + "\n"
            blocks.append(Block(page, opening[0], language, argument, text))
            opening = None
        else:
            lines.append(line.removeprefix(opening[1]["indent"]))
    if opening is not None:
        raise ValueError(f"{name_of(page)}:{opening[0]}: the block is not closed")
    return blocks


def without_blocks(page: Path) -> str:
    """The text of a page, lines of its fenced blocks left empty."""
    lines = page.read_text().splitlines()
    for block in read_blocks(page):
        end = block.line + block.text.count("\n") + 1
        lines[block.line - 1 : end] = [""] * (end - block.line + 1)
    return "\n".join(lines)


def inline_code(page: Path) -> Iterator[str]:
    """What stands in single backticks; roles such as {py:class}`...` do not count."""
    text = without_blocks(page)
    yield from re.findall(r"(?<![`}\w])`([^`\n]+)`(?!`)", text)


def roles(page: Path) -> Iterator[tuple[str, str]]:
    """Kind and target of {py:...} roles."""
    yield from re.findall(r"\{py:(\w+)\}`~?([\w.]+)`", page.read_text())
