"""Build hook: what `mim` and `mmtaformer::` configs read lies under mmtaformer/.mim."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SHIPPED = ("configs", "projects", "tools", "model-index.yml")


class MimBuildHook(BuildHookInterface):
    """Carries configs and tools in a wheel, links them in an editable install."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        present = [name for name in SHIPPED if (root / name).exists()]
        if version == "editable":
            link_into_package(root, present)
        else:
            for name in present:
                build_data["force_include"][name] = f"mmtaformer/.mim/{name}"


def link_into_package(root: Path, names: list[str]) -> None:
    """Links `names` of the checkout into mmtaformer/.mim, so that edits count."""
    mim_dir = root / "mmtaformer" / ".mim"
    mim_dir.mkdir(exist_ok=True)
    for name in names:
        link = mim_dir / name
        link.unlink(missing_ok=True)
        link.symlink_to(Path("..", "..", name))
