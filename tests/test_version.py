import re

import mmtaformer

from .helpers.golden import REPO_ROOT


def test_version_has_one_source():
    assert re.fullmatch(r"\d+\.\d+\.\d+", mmtaformer.__version__)
    pyproject = (REPO_ROOT / "pyproject.toml").read_text()
    assert 'dynamic = ["version"]' in pyproject
    citation = (REPO_ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {mmtaformer.__version__}\n" in citation


def test_pinned_versions_are_those_the_guard_names():
    from mmtaformer.utils.version_guard import STACKS, TORCH

    for stack, requirements in STACKS.items():
        name = f"{stack.lower()}.txt"
        lines = (REPO_ROOT / "requirements" / name).read_text().splitlines()
        pins = {line for line in lines if line and not line.startswith("#")}
        assert pins == {f"{r.distribution}=={r.pinned}" for r in requirements}
    build = (REPO_ROOT / "requirements" / "build.txt").read_text().splitlines()
    assert f"torch=={TORCH.pinned}" in build


def test_extras_are_the_ranges_of_the_guard():
    from mmtaformer.utils.version_guard import STACKS, TORCH

    pyproject = (REPO_ROOT / "pyproject.toml").read_text()
    for requirement in (TORCH, *STACKS["OneDL"], *STACKS["OpenMMLab"]):
        assert f'"{requirement.distribution}{requirement.versions}"' in pyproject
