"""The documentation builds without a warning, and has every component."""

import importlib.util
import re
import subprocess
import sys

import mmdet.registry
import pytest
from mmengine.registry import Registry

from mmtaformer.apis.frame_pipeline import TakeFrame

from ..helpers.golden import REPO_ROOT

NEEDED = ("sphinx", "myst_parser", "furo", "sphinx_copybutton")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]


@pytest.mark.skipif(
    bool(MISSING),
    reason=f"no {', '.join(MISSING)}: pip install -r requirements/docs.txt",
)
def test_build(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-b", "html"]
        + ["-d", str(tmp_path / "doctrees"), "docs/en", str(tmp_path / "html")],
        cwd=REPO_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for page in (REPO_ROOT / "docs" / "en").glob("*.md"):
        html = (tmp_path / "html" / f"{page.stem}.html").read_text()
        for image in re.findall(r'<img[^>]* src="([^"]+)"', html):
            assert (tmp_path / "html" / image).is_file(), image


def test_components_are_documented():
    """Whatever a config can name is on a page; TakeFrame is what inference puts in."""
    pages = (REPO_ROOT / "docs" / "en").glob("*.md")
    text = "\n".join(page.read_text() for page in pages)
    documented = set(re.findall(r"automodule:: (\S+)", text))
    components = (
        component
        for registry in vars(mmdet.registry).values()
        if isinstance(registry, Registry)
        for component in registry.module_dict.values()
    )
    modules = {c.__module__ for c in components if c is not TakeFrame}
    own = {module for module in modules if module.startswith("mmtaformer.")}
    assert own - documented == set()
    assert len(own) > 30
