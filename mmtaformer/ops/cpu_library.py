"""Builds and loads the CPU kernels, ``cpu_attention.cpp`` and ``cpu_dropout.cpp``."""

import functools
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import warnings
from pathlib import Path

import torch
from filelock import FileLock

_NAME = "mmtaformer_cpu"
_SOURCES = [
    Path(__file__).with_name(name) for name in ("cpu_attention.cpp", "cpu_dropout.cpp")
]
_HEADERS = [Path(__file__).with_name("cpu_samples.h")]


# A constant to torch.compile, which would otherwise trace what is below.
@torch.compiler.assume_constant_result
def is_available() -> bool:
    """Whether the kernels are loaded; builds them at the first call on a machine.

    Where they cannot be built, one warning says so.
    """
    return _load()


@functools.cache
def _load() -> bool:
    try:
        path = _library_path()
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):  # is free again when its owner dies
            if not path.exists():
                _build(path)
        torch.ops.load_library(path)
    except OSError as error:
        warnings.warn(
            f"Deformable attention and dropout run in PyTorch, which takes several "
            f"times as long as their kernels in C++: {error}",
            stacklevel=2,
        )
        return False
    return True


def _library_path() -> Path:
    """Below torch's folder for extensions; another one for another torch or source."""
    from torch.utils.cpp_extension import get_default_build_root  # slow to import

    root = os.environ.get("TORCH_EXTENSIONS_DIR") or get_default_build_root()
    parts = [path.read_text() for path in _SOURCES + _HEADERS]
    digest = hashlib.sha256(repr([torch.__version__, *_flags(), *parts]).encode())
    return Path(root, f"{_NAME}_{digest.hexdigest()[:16]}", f"{_NAME}.so")


def _flags() -> list[str]:
    """Options of g++ and clang++.

    Loops are unrolled so that a sum over channels stays in registers. Machines may
    share the library, so it asks for no more than the oldest processors that have
    AVX2.
    """
    flags = ["-O2", "-funroll-loops", "-fno-math-errno", "-fno-trapping-math"]
    if torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512"):
        flags += ["-mavx2", "-mfma"]
    return [*flags, "-fopenmp"]


def _build(path: Path) -> None:
    """Compile in a process and a folder of its own, and move the result to ``path``.

    Raises:
        OSError: There is no compiler, or it failed.
    """
    compiler = os.environ.get("CXX", "c++")
    if shutil.which(compiler) is None:
        raise OSError(f"there is no compiler {compiler}; install g++ or set CXX.")
    # ninja is beside Python in an environment that is not activated.
    search = sysconfig.get_path("scripts") + os.pathsep + os.environ.get("PATH", "")
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        result = subprocess.run(
            [sys.executable, __file__, folder],
            env={**os.environ, "PATH": search},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if result.returncode:
            log = path.with_suffix(".log")
            log.write_text(result.stdout)
            raise OSError(f"they could not be built, {log} says why.")
        os.replace(Path(folder, path.name), path)


def _compile(folder: str) -> None:
    from torch.utils.cpp_extension import load

    load(
        _NAME,
        [str(path) for path in _SOURCES],
        extra_cflags=_flags(),
        extra_ldflags=["-fopenmp"],
        build_directory=folder,
        is_python_module=False,
    )


if __name__ == "__main__":
    _compile(sys.argv[1])
