"""The rows of the paper that are trained on small models."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmtaformer.utils.launch import UsageError
from mmtaformer.utils.launch.options import check_options

from ..paper import Row, read_rows
from ..variant import FULL, vary

TABLES = (3, 4, 6, 7)
_POINTS = "model.encoder.layer_cfg.self_attn_cfg.num_temporal_points"


@cache
def model_names() -> dict[Row, str]:
    """Name the model of each row; rows of several tables share one.

    Returns:
        The rows, in the order of the paper, with the name of the first row that has
        the same model.
    """
    names: dict[Row, str] = {}
    models: dict[str, Any] = {}
    for row in read_rows():
        if row.table in TABLES:
            model = Config.fromfile(row.config).model
            same = (name for name, other in models.items() if other == model)
            names[row] = next(same, row.name)
            models.setdefault(names[row], model)
    return names


def select_rows(tables: Sequence[int], names: Sequence[str] | None) -> list[Row]:
    """Choose rows by table or, if there are names, by name.

    Raises:
        UsageError: If a name is unknown.
    """
    if names is None:
        return [row for row in model_names() if row.table in tables]
    known = {row.name: row for row in model_names()}
    for name in names:
        if name not in known:
            raise UsageError(f"there is no row {name}; choose of {', '.join(known)}.")
    return [known[name] for name in names]


def small_configs(
    rows: Sequence[Row], base: str | Path, cfg_options: Mapping[str, Any] | None = None
) -> dict[str, Config]:
    """Make the small config of each model that rows need.

    Args:
        rows: The rows.
        base: Config of the small model with all parts, which the rows change.
        cfg_options: Values that replace those of the base before that.

    Returns:
        The configs by name of the model, see :func:`model_names`.

    Raises:
        UsageError: If an option would change nothing, or the base cannot stand for the
            last row of Table 7.
    """
    config = Config.fromfile(base)
    options = dict(cfg_options or {})
    check_options(config, options)
    config.merge_from_dict(options)
    needed, found = (
        cfg.model.encoder.layer_cfg.self_attn_cfg.num_temporal_points
        for cfg in (Config.fromfile(FULL), config)
    )
    if any(row.table == 7 for row in rows) and found != needed:
        raise UsageError(
            f"the last row of Table 7 has {needed} temporal points, but {base} has "
            f"{found}: add --cfg-options {_POINTS}={needed}."
        )
    files = {row.name: row.config for row in model_names()}
    names = dict.fromkeys(model_names()[row] for row in rows)
    return {name: vary(config, files[name]) for name in names}
