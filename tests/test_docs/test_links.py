"""Every link leads somewhere; addresses elsewhere are checked for their form only."""

import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ..helpers.golden import REPO_ROOT
from ..helpers.pages import DOCS, PAGES, inline_code, name_of, read_blocks, roles
from ..helpers.pages import without_blocks as text_of

_LINK = re.compile(
    r"!?\[(?:[^\]\[]|\[[^\]]*\])*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)"
)
_DEFINITION = re.compile(r"^\[[^\]]+\]:\s*(\S+)", re.M)
_TAG = re.compile(r"<(?:img|a)\b[^>]*?(?:src|href)=\"([^\"]+)\"")
_ADDRESS = re.compile(r"<(https?://[^>]*)>|(?<![(<\"])\b(https?://[^\s)>`\"]+)")
_FOLDERS = (
    "tools",
    "configs",
    "projects",
    "docs",
    "requirements",
    "mmtaformer",
    "tests",
)


def links(page: Path) -> Iterator[str]:
    """Targets of links and images of a page."""
    text = re.sub(r"`[^`\n]+`", "`code`", text_of(page))
    for pattern in (_LINK, _DEFINITION, _TAG):
        yield from pattern.findall(text)
    yield from ("".join(found) for found in _ADDRESS.findall(text))
    for block in read_blocks(page):
        if block.language in ("{image}", "{figure}", "{include}", "{literalinclude}"):
            yield block.argument.strip()


def anchors(page: Path) -> set[str]:
    """Anchors of the headings, as GitHub and MyST make them."""
    found: list[str] = []
    for block in read_blocks(page):
        if block.language == "{include}":
            found += anchors((page.parent / block.argument).resolve())
    for title in re.findall(r"^#{1,6}\s+(.+?)\s*#*$", text_of(page), re.M):
        title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower()
        slug = re.sub(r"[^\w\- ]", "", title).replace(" ", "-")
        repeated = sum(
            re.fullmatch(re.escape(slug) + r"(-\d+)?", s) is not None for s in found
        )
        found.append(f"{slug}-{repeated}" if repeated else slug)
    explicit = re.findall(r"<a\s+(?:id|name)=\"([^\"]+)\"", text_of(page))
    return {*found, *explicit, *re.findall(r"^\((.+)\)=$", text_of(page), re.M)}


def problem_of(page: Path, target: str) -> str | None:
    """What is wrong with a link, None if nothing is."""
    parts = urlsplit(target)
    if parts.scheme or target.startswith("//"):
        good = parts.scheme in ("http", "https") and re.fullmatch(
            r"([a-z0-9-]+\.)+[a-z]{2,}(:\d+)?", parts.netloc
        )
        return None if good else "is no proper address"
    path = (page.parent / parts.path).resolve() if parts.path else page
    if target.startswith("/") or not path.exists():
        return "does not exist"
    if parts.fragment and (path.suffix != ".md" or parts.fragment not in anchors(path)):
        return "has no such anchor"
    return None


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links(page):
    problems = {target: problem_of(page, target) for target in links(page)}
    assert {t: problem for t, problem in problems.items() if problem} == {}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_that_are_named_exist(page):
    missing = []
    for code in inline_code(page):
        name = re.split(r"[\s,:]", code)[0].rstrip("/")
        if not name.startswith(tuple(f"{folder}/" for folder in _FOLDERS)):
            continue
        for choice in _expand(name):
            if not list(REPO_ROOT.glob(choice)):
                missing.append(choice)
    assert missing == []


def _expand(name: str) -> list[str]:
    """Every choice of `{a,b}`, which Python's glob does not know."""
    found = re.search(r"\{([^}]*)\}", name)
    if found is None:
        return [name]
    return [
        choice
        for part in found[1].split(",")
        for choice in _expand(name[: found.start()] + part + name[found.end() :])
    ]


@pytest.mark.parametrize("page", sorted(DOCS.glob("**/*.md")), ids=name_of)
def test_classes_and_functions_that_are_named_exist(page):
    for _, target in roles(page):
        pkgutil.resolve_name(target)


def test_bad_links_are_found(tmp_path):
    page = tmp_path / "page.md"
    (tmp_path / "there.md").write_text("# A title, here\n\n## Two\n\n## Two\n")
    page.write_text(
        "# Top\n[a](there.md) [b](there.md#a-title-here) ![c](gone.png) [d](#top)\n"
        "[e](there.md#two-1) [f](there.md#three) <https://a.org/x> [g](http:/broken)\n"
        "`[h](code.md)`\n\n```text\n[i](block.md)\n```\n"
    )
    found = {target for target in links(page) if problem_of(page, target)}
    assert found == {"gone.png", "there.md#three", "http:/broken"}
    assert "https://a.org/x" in set(links(page))
