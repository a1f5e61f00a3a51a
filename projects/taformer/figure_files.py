"""Figures as files: a PNG and a PDF of each."""

import argparse
from pathlib import Path

from matplotlib.figure import Figure

from mmtaformer.utils.files import atomic_path

DPI = 200


def add_out_argument(parser: argparse.ArgumentParser, default: str) -> None:
    """Add the option that names the files of a figure."""
    parser.add_argument(
        "--out",
        default=default,
        metavar="PREFIX",
        help=f"files to write, without .png and .pdf (default: {default})",
    )


def save_figure(figure: Figure, prefix: str | Path) -> tuple[Path, Path]:
    """Write ``{prefix}.png`` and ``{prefix}.pdf``; each appears when it is complete.

    Args:
        figure: The figure.
        prefix: Folder and name; a suffix ``.png`` or ``.pdf`` is ignored.

    Returns:
        The two paths.
    """
    prefix = Path(prefix)
    if prefix.suffix in (".png", ".pdf"):
        prefix = prefix.with_suffix("")
    paths = (Path(f"{prefix}.png"), Path(f"{prefix}.pdf"))
    for path in paths:
        with atomic_path(path) as partial:
            # Without a date the same figure is the same file.
            metadata = {"CreationDate": None} if path.suffix == ".pdf" else None
            figure.savefig(partial, dpi=DPI, metadata=metadata)
    return paths
