"""Access to the reference outputs, which live beside the repository."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

REPO_ROOT = Path(__file__).resolve().parents[1]
GOLDEN_DIR = REPO_ROOT.parent / "shared" / "golden"


def golden_path(name: str, variable: str | None = None) -> Path:
    """Path of a reference file; skips the test where there is none.

    Args:
        name: File name in the folder of reference outputs.
        variable: Environment variable that names another file.
    """
    override = os.environ.get(variable) if variable else None
    path = Path(override) if override else GOLDEN_DIR / name
    if not path.is_file():
        hint = f", set ${variable}" if variable else ""
        pytest.skip(f"reference output {path} not found{hint}")
    return path


def load_golden(name: str, variable: str) -> tuple[dict, dict[str, np.ndarray]]:
    """The sizes (``meta``) and the arrays of a reference file."""
    with np.load(golden_path(name, variable)) as archive:
        arrays = {key: archive[key] for key in archive.files}
    return json.loads(str(arrays.pop("meta"))), arrays
