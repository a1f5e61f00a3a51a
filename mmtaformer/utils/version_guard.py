"""Checks that the packages found are the ones this project works with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec

from packaging.specifiers import SpecifierSet


@dataclass(frozen=True)
class Requirement:
    """One package of a stack: what provides `import module`, and in which versions."""

    module: str
    distribution: str
    versions: str
    pinned: str

    @property
    def install_command(self) -> str:
        """The command that installs the version that the tests run with."""
        command = f"pip install '{self.distribution}=={self.pinned}'"
        if self.module == "mmcv":
            return f"MMCV_WITH_OPS=1 {command} --no-build-isolation"
        return command


TORCH = Requirement("torch", "torch", ">=2.6,<2.14", "2.13.0")

# Both sets provide the same three modules; OneDL's continues OpenMMLab's.
STACKS: Mapping[str, tuple[Requirement, ...]] = {
    "OneDL": (
        Requirement("mmengine", "onedl-mmengine", ">=0.10.12,<0.11", "0.10.12"),
        Requirement("mmcv", "onedl-mmcv", ">=2.3.6,<2.4", "2.3.6"),
        Requirement("mmdet", "onedl-mmdetection", ">=3.5.1,<3.6", "3.5.1"),
    ),
    "OpenMMLab": (
        Requirement("mmengine", "mmengine", ">=0.10.7,<0.11", "0.10.7"),
        Requirement("mmcv", "mmcv", ">=2.1.0,<2.2", "2.1.0"),
        Requirement("mmdet", "mmdet", ">=3.3.0,<3.4", "3.3.0"),
    ),
}


def check_stack() -> None:
    """Checks torch, mmengine, mmcv and mmdet before anything imports them.

    Raises:
        ImportError: In one sentence, what is missing, too old, too new or mixed,
            and the command that puts it right.
    """
    problem = find_problem(installed_version, is_importable)
    if problem is not None:
        raise ImportError(problem)


def find_problem(
    version_of: Callable[[str], str | None], importable: Callable[[str], bool]
) -> str | None:
    """Says what is wrong with the installed packages, in one sentence.

    Args:
        version_of: Installed version of a distribution, None where there is none.
        importable: Whether a module can be found. A module without a distribution is
            a source checkout on the path, whose version is its owner's business.

    Returns:
        The sentence, or None if everything fits.
    """
    found = {
        stack: [req for req in requirements if version_of(req.distribution)]
        for stack, requirements in STACKS.items()
    }
    if all(found.values()):
        return _mixed_stacks(found, version_of)
    stack = "OpenMMLab" if found["OpenMMLab"] else "OneDL"
    for requirement in (TORCH, *STACKS[stack]):
        problem = _wrong_version(requirement, version_of, importable)
        if problem is not None:
            return problem
    if not importable("mmcv._ext"):
        mmcv = STACKS[stack][1]
        return (
            "mmtaformer needs mmcv with its compiled operators, but the installed mmcv "
            f"has none: run `pip uninstall -y mmcv mmcv-lite {mmcv.distribution}` and "
            f"`{mmcv.install_command} --no-cache-dir`."
        )
    return None


def _mixed_stacks(
    found: Mapping[str, list[Requirement]], version_of: Callable[[str], str | None]
) -> str:
    """Says which distributions of the two sets stand beside each other."""
    onedl, openmmlab = (
        ", ".join(f"{req.distribution} {version_of(req.distribution)}" for req in reqs)
        for reqs in (found["OneDL"], found["OpenMMLab"])
    )
    every = " ".join(r.distribution for stack in STACKS.values() for r in stack)
    return (
        f"OneDL's packages ({onedl}) and OpenMMLab's ({openmmlab}) are installed "
        "together although they provide the same modules: run "
        f"`pip uninstall -y {every}` and install one of the two sets."
    )


def _wrong_version(
    requirement: Requirement,
    version_of: Callable[[str], str | None],
    importable: Callable[[str], bool],
) -> str | None:
    """Says what is wrong with one package, None if nothing is."""
    version = version_of(requirement.distribution)
    if version is None and importable(requirement.module):
        return None
    if version is not None and SpecifierSet(requirement.versions).contains(
        version.partition("+")[0], prereleases=True
    ):
        return None
    found = f"found {version}" if version else "it is not installed"
    return (
        f"mmtaformer needs {requirement.distribution}{requirement.versions}, but "
        f"{found}: run `{requirement.install_command}`."
    )


def installed_version(distribution: str) -> str | None:
    """Returns the version of an installed distribution, None where there is none."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def is_importable(module: str) -> bool:
    """Returns whether a module can be found; only its parents are imported."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
