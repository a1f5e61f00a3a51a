"""The documentation builds without a warning."""

import importlib.util
import re
import subprocess
import sys

import pytest

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
