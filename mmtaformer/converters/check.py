"""Loading what was converted into the model of a config."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

from mmtaformer.models.detectors import TAFormer

from .conversion import Conversion


def build_model(
    config: str | Path, options: Mapping[str, Any] | None = None
) -> TAFormer:
    """Build the model of a config; its weights are not initialized.

    Args:
        config: Path of the config.
        options: Values that replace those of the config, by dotted key.

    Returns:
        TAFormer: The model.

    Raises:
        FileNotFoundError: If there is no such config.
        ValueError: If it has no model.
    """
    if not Path(config).is_file():
        raise FileNotFoundError(
            f"There is no config {config} (looked from {Path.cwd()}); check the path."
        )
    cfg = Config.fromfile(config)
    cfg.merge_from_dict(dict(options or {}))
    if "model" not in cfg:
        raise ValueError(f"{config} has no 'model' to load the weights into.")
    init_default_scope(cfg.get("default_scope", "mmdet"))
    return MODELS.build(cfg.model)


def check_places(conversion: Conversion, model: nn.Module) -> None:
    """Check that everything that was converted has its place in a model.

    Raises:
        ValueError: If the model has no such parameter, or one of another shape.
    """
    expected = model.state_dict()
    for name, value in conversion.state_dict.items():
        if name not in expected:
            raise ValueError(
                f"{_origin(conversion, name)} becomes '{name}', which the config's "
                "model does not have: choose a config with the same backbone, numbers "
                "of layers and parts as the source."
            )
        if value.shape != expected[name].shape:
            raise ValueError(
                f"{_origin(conversion, name)} becomes '{name}' of shape "
                f"{tuple(value.shape)}, but the config's model expects "
                f"{tuple(expected[name].shape)}: {_advice(name)}"
            )


def load_converted(conversion: Conversion, model: nn.Module) -> list[str]:
    """Load what was converted; all of it must have its place in the model.

    Args:
        conversion: What was converted.
        model: The model of the config, changed in place.

    Returns:
        list[str]: Names of the model that stay at initialization.

    Raises:
        ValueError: See :func:`check_places`.
    """
    check_places(conversion, model)
    # Not strict, for what is missing is the result; anything else was refused above.
    return list(model.load_state_dict(conversion.state_dict, strict=False).missing_keys)


def _origin(conversion: Conversion, name: str) -> str:
    source = conversion.entries[name].source
    return f"'{source}'" if source else "What the converter added"


def _advice(name: str) -> str:
    if "cls_branches" in name:
        return (
            "set model.bbox_head.num_classes to the number of rows, or leave the class "
            "branches out with --class-rows drop."
        )
    if "level_embed" in name or "sampling_offsets" in name or "attention_w" in name:
        return (
            "choose a config with the same numbers of levels, heads and points; "
            "--one-level reduces several levels to one."
        )
    return "choose a config with the same backbone and sizes as the source."
