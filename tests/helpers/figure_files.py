"""Looking at the files that a figure tool wrote."""

from pathlib import Path


def is_written(prefix: Path) -> bool:
    """Whether there are a PNG and a PDF of this name, and nothing else."""
    png, pdf = (prefix.with_name(f"{prefix.name}.{kind}") for kind in ("png", "pdf"))
    assert png.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert pdf.read_bytes()[:5] == b"%PDF-"
    return {path.name for path in prefix.parent.iterdir()} == {png.name, pdf.name}
