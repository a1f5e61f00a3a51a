"""Names of models: which config, and which published weights if there are any."""

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.fileio import load

from mmtaformer.utils.errors import UsageError


def find_model(name: str) -> tuple[Path, str | None]:
    """Find a model by its name.

    Args:
        name: Name of a config without ``.py``, or a name or alias in the metafiles.

    Returns:
        Path of the config, and path or address of the weights; None if no weights are
        published.

    Raises:
        UsageError: If there is no such model.
    """
    root = _root()
    for model in _published(root):
        aliases = model.get("Alias") or []
        aliases = [aliases] if isinstance(aliases, str) else aliases
        if name in (model["Name"], *aliases):
            weights = model.get("Weights") or _bundled(root, model["Name"])
            return root / model["Config"], _resolve(root, weights)
    configs = _configs(root)
    if name not in configs:
        close = difflib.get_close_matches(name, configs, 1)
        hint = (
            f"did you mean {close[0]}?" if close else "list_models() gives the names."
        )
        raise UsageError(f"there is neither a file nor a model {name}; {hint}")
    return configs[name], _bundled(root, name)


def list_models(with_weights: bool = True) -> list[str]:
    """Names that :func:`init_model` and :class:`VISInferencer` take.

    Args:
        with_weights: Whether only models with published weights are listed.
    """
    root = _root()
    published = {m["Name"] for m in _published(root) if m.get("Weights")}
    names = set(_configs(root)) | published
    if with_weights:
        names = {n for n in names if n in published or _bundled(root, n)}
    return sorted(names)


def _root() -> Path:
    """The folder of ``configs`` and ``demo``: a clone, or a part of the package."""
    package = Path(__file__).resolve().parents[1]
    clone = package.parent
    return clone if (clone / "configs").is_dir() else package / ".mim"


def _configs(root: Path) -> dict[str, Path]:
    files = (root / "configs").rglob("*.py")
    return {f.stem: f for f in files if "_base_" not in f.parts}


def _bundled(root: Path, name: str) -> str | None:
    """Weights that come along: ``demo/NAME-xxxxxxxx.safetensors``."""
    found = sorted((root / "demo").glob(f"{name}-????????.safetensors"))
    return str(found[-1]) if found else None


def _published(root: Path) -> Iterator[dict[str, Any]]:
    index = root / "model-index.yml"
    if not index.is_file():
        return
    for metafile in load(str(index)).get("Import") or []:
        if (root / metafile).is_file():
            yield from load(str(root / metafile)).get("Models") or []


def _resolve(root: Path, weights: Any) -> str | None:
    if isinstance(weights, list):
        weights = weights[0] if weights else None
    if weights is None or "://" in weights:
        return weights
    return str(root / weights)
