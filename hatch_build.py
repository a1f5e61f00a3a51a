"""Build hook: what `mim` and `mmtaformer::` configs read lies under mmtaformer/.mim."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SHIPPED = ("configs", "projects", "tools", "model-index.yml")
SUFFIXES = {".md", ".py", ".sh", ".yml"}


class MimBuildHook(BuildHookInterface):
    """Carries configs and tools in a wheel, links them in an editable install."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        present = [name for name in SHIPPED if (root / name).exists()]
        if version == "editable":
            link_into_package(root, present)
            return
        for path in shipped_files(root, present):
            # What .gitignore names, such as the configs that a run leaves behind.
            if not self.build_config.path_is_excluded(path):
                build_data["force_include"][path] = f"mmtaformer/.mim/{path}"


def shipped_files(root: Path, names: list[str]) -> Iterator[str]:
    """Finds the text files under `names`, as paths from the root of the checkout."""
    for name in names:
        for path in sorted([root / name, *(root / name).rglob("*")]):
            if path.is_file() and path.suffix in SUFFIXES:
                yield path.relative_to(root).as_posix()


def link_into_package(root: Path, names: list[str]) -> None:
    """Links `names` of the checkout into mmtaformer/.mim, so that edits count."""
    mim_dir = root / "mmtaformer" / ".mim"
    mim_dir.mkdir(exist_ok=True)
    for name in names:
        link = mim_dir / name
        link.unlink(missing_ok=True)
        link.symlink_to(Path("..", "..", name))
