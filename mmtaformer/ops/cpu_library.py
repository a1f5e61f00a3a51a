"""Builds and loads the CPU kernels, ``cpu_attention.cpp``."""

import contextlib
import functools
import hashlib
import os
import subprocess
import sysconfig
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from filelock import FileLock

_NAME = "mmtaformer_cpu"
_SOURCE = Path(__file__).with_name("cpu_attention.cpp")


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
            if path.exists():
                torch.ops.load_library(path)
            else:
                _build(path)
    except (ImportError, OSError, RuntimeError, subprocess.CalledProcessError) as error:
        reason = str(error).partition("\n")[0]
        warnings.warn(
            "Deformable attention runs in PyTorch, some ten times as slow as its "
            f"compiled kernels, which could not be built: {reason} Install a C++ "
            "compiler with OpenMP, such as g++, or name one in CXX.",
            stacklevel=2,
        )
        return False
    return True


def _flags() -> list[str]:
    """Options of g++ and clang++.

    Those that unroll keep a sum over channels in registers. The library may be shared
    by machines, so that it is not compiled for the processor at hand alone.
    """
    flags = ["-O2", "-funroll-loops", "-fopenmp", "-fno-math-errno"]
    flags.append("-fno-trapping-math")
    if torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512"):
        flags += ["-mavx2", "-mfma"]
    return flags


def _library_path() -> Path:
    """Below torch's folder for extensions; another one for another torch or source."""
    from torch.utils.cpp_extension import get_default_build_root

    root = os.environ.get("TORCH_EXTENSIONS_DIR") or get_default_build_root()
    parts = [torch.__version__, os.environ.get("CXX", ""), *_flags()]
    digest = hashlib.sha256(_SOURCE.read_bytes() + " ".join(parts).encode())
    return Path(root, f"{_NAME}_{digest.hexdigest()[:16]}", f"{_NAME}.so")


def _build(path: Path) -> None:
    """Build the library in a folder of its own, load it and move it to ``path``."""
    from torch.utils.cpp_extension import load

    with (
        tempfile.TemporaryDirectory(dir=path.parent) as folder,
        _scripts_on_path(),
    ):
        load(
            _NAME,
            str(_SOURCE),
            extra_cflags=_flags(),
            extra_ldflags=["-fopenmp"],
            build_directory=folder,
            is_python_module=False,
        )
        os.replace(Path(folder, path.name), path)


@contextlib.contextmanager
def _scripts_on_path() -> Iterator[None]:
    """Let ninja be found in an environment that is not activated."""
    before = os.environ.get("PATH", os.defpath)
    os.environ["PATH"] = sysconfig.get_path("scripts") + os.pathsep + before
    try:
        yield
    finally:
        os.environ["PATH"] = before
