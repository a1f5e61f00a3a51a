"""The wheel, built once from a copy of the checkout with things in it that stay out."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ..helpers.golden import REPO_ROOT

# What the wheel is built from.
SOURCES = ("mmtaformer", "configs", "demo", "projects", "tools", "model-index.yml")
SOURCES += ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", ".gitignore")
# What runs, programs and people leave in a checkout.
STRAYS = (
    "configs/taformer/__pycache__/config.cpython-311.pyc",
    "configs/taformer/predictions.json",
    "projects/taformer/work_dirs/run/taformer_tiny_synthvis.py",
    "projects/taformer/figure.png",
    "tools/model.pth",
    "tools/.idea/notes.md",
    "mmtaformer/models/weights.pt",
    "data/synthvis/train.json",
    "tests/test_something.py",
)


def build(checkout: Path, command: str, *arguments: object) -> None:
    """Runs a function of the build backend in a checkout."""
    code = f"import sys; from hatchling.build import *; {command}(*sys.argv[1:])"
    subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=checkout, check=True
    )


@pytest.fixture(scope="session")
def checkout(tmp_path_factory) -> Path:
    """A copy of the checkout, with strays."""
    root = tmp_path_factory.mktemp("packaging") / "checkout"
    root.mkdir()
    leave_out = shutil.ignore_patterns(".mim", ".*_cache", "__pycache__", "work_dirs")
    for name in SOURCES:
        if (REPO_ROOT / name).is_dir():
            shutil.copytree(REPO_ROOT / name, root / name, ignore=leave_out)
        elif (REPO_ROOT / name).exists():
            shutil.copy(REPO_ROOT / name, root)
    for name in STRAYS:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("stray")
    return root


@pytest.fixture(scope="session")
def wheel(checkout) -> Path:
    """The wheel of the copy, which an editable install had linked before."""
    build(checkout, "build_editable", checkout.parent / "editable")
    build(checkout, "build_wheel", checkout.parent / "dist")
    (path,) = (checkout.parent / "dist").glob("*.whl")
    return path


@pytest.fixture(scope="session")
def installed(wheel) -> Path:
    """A folder for the path of Python with the wheel installed in it."""
    site = wheel.parent / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site
