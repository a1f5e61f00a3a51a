"""The reference outputs in tests/data; see the README there."""

import json
import os
from pathlib import Path

import numpy as np

REPO_ROOT = Path(__file__).resolve().parents[2]
DATA_DIR = REPO_ROOT / "tests" / "data"


def golden_path(name: str, variable: str | None = None) -> Path:
    """Path of a reference file.

    Args:
        name: File name in tests/data.
        variable: Environment variable that names another file to compare with.
    """
    override = os.environ.get(variable) if variable else None
    return Path(override) if override else DATA_DIR / name


def load_golden(name: str, variable: str) -> tuple[dict, dict[str, np.ndarray]]:
    """The sizes (``meta``) and the arrays of a reference file."""
    with np.load(golden_path(name, variable)) as archive:
        arrays = {key: archive[key] for key in archive.files}
    return json.loads(str(arrays.pop("meta"))), arrays
