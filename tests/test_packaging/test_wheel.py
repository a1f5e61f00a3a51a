"""What the wheel carries, and what mim and mmengine need of it."""

import shutil
import stat
import zipfile
from collections import Counter
from pathlib import PurePosixPath

import mmtaformer

from ..helpers.config_files import CONFIGS, name_of
from ..helpers.golden import REPO_ROOT
from .conftest import STRAYS, build

MIM = "mmtaformer/.mim"
MAX_BYTES = 6_000_000  # up to 3 MB of weights come along
SHIPPED = {
    "configs": ("**/*.py",),
    "demo": ("*.md", "*.mp4", "*.py", "*.safetensors"),
    "projects": ("**/*.py", "**/*.md", "*/paper.yml"),
    "tools": ("**/*.py", "**/*.md", "**/*.sh", "dev/mutants.yml"),
}
LEFT_BEHIND = {"__pycache__", "work_dirs"}


def files_of_checkout(folder, patterns):
    """Names of the files of the checkout that match, without what runs leave."""
    paths = [path for p in patterns for path in (REPO_ROOT / folder).glob(p)]
    names = {path.relative_to(REPO_ROOT) for path in paths}
    return {name.as_posix() for name in names if not LEFT_BEHIND & {*name.parts}}


def expected_names():
    info = f"mmtaformer-{mmtaformer.__version__}.dist-info"
    names = {f"{info}/{n}" for n in ("METADATA", "RECORD", "WHEEL", "licenses/LICENSE")}
    names |= files_of_checkout("mmtaformer", ["**/*.py", "**/*.cpp", "**/*.h"])
    names |= {f"{MIM}/model-index.yml", f"{MIM}/metafile.yml"}
    for folder, patterns in SHIPPED.items():
        names |= {f"{MIM}/{name}" for name in files_of_checkout(folder, patterns)}
    return names


def names_in(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return [info.filename for info in archive.infolist()]


def test_content(wheel):
    names = names_in(wheel)
    assert len(names) == len(set(names))
    assert set(names) == expected_names()
    for path in CONFIGS:
        assert f"{MIM}/{name_of(path)}" in names
    for stray in STRAYS:
        assert not any(name.endswith(stray) for name in names)


def test_size_and_kinds_of_files(wheel):
    assert wheel.stat().st_size < MAX_BYTES
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)  # none is that of metadata
            assert kind in (0, stat.S_IFREG), info.filename


def test_files_are_those_of_the_checkout(wheel):
    with zipfile.ZipFile(wheel) as archive:
        for name in names_in(wheel):
            if name.startswith(f"{MIM}/") and name != f"{MIM}/metafile.yml":
                source = REPO_ROOT / name.removeprefix(f"{MIM}/")
                assert archive.read(name) == source.read_bytes(), name


def test_scripts_stay_executable(wheel):
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            if info.filename.endswith(".sh"):
                assert (info.external_attr >> 16) & stat.S_IXUSR, info.filename


def test_names_that_mim_looks_up_are_unique(wheel):
    """Configs are found by file name in the whole package, scripts among the tools."""
    paths = [PurePosixPath(name) for name in names_in(wheel)]
    counts = Counter(path.name for path in paths if path.parts[0] == "mmtaformer")
    assert {path.name for path in CONFIGS if counts[path.name] != 1} == set()
    tools = [p for p in paths if p.is_relative_to(f"{MIM}/tools") and p.suffix == ".py"]
    assert len({path.name for path in tools}) == len(tools)
    # Both are looked for in the package before they are in .mim.
    for folder in ("configs", "tools", "demo"):
        assert not any(path.is_relative_to(f"mmtaformer/{folder}") for path in paths)


def test_wheel_of_the_source_distribution_is_the_same(wheel, checkout, tmp_path):
    build(checkout, "build_sdist", tmp_path)
    (archive,) = tmp_path.glob("*.tar.gz")
    shutil.unpack_archive(archive, tmp_path)
    source = tmp_path / archive.name.removesuffix(".tar.gz")
    build(source, "build_wheel", tmp_path / "dist")
    assert set(names_in(tmp_path / "dist" / wheel.name)) == set(names_in(wheel))


def test_editable_install_links_the_checkout(checkout, wheel):
    mim_dir = checkout / MIM
    for name in ("configs", "projects", "tools", "model-index.yml"):
        assert (mim_dir / name).is_symlink()
        assert (mim_dir / name).resolve() == checkout / name
