"""Imports mmdet without the lines that it prints about packages nobody asked for."""

import io
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

# Of onedl-mmdetection 3.5.1, for data sets and a metric that this project does not use.
_LINE = "Could not import OneDL. Skipping OneDL datasets."
_WARNING = "faster_coco_eval is not installed"


@contextmanager
def quiet_import() -> Iterator[None]:
    """Drop two messages of mmdet while the block imports it; others are kept."""
    printed = io.StringIO()
    try:
        with warnings.catch_warnings(), redirect_stdout(printed):
            warnings.filterwarnings("ignore", message=_WARNING)
            yield
    finally:
        for line in printed.getvalue().splitlines(keepends=True):
            if line.strip() != _LINE:
                sys.stdout.write(line)
