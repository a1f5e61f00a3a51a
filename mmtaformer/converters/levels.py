"""Multi-scale weights adapted to a single feature level."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from .conversion import Conversion

# C6 is computed from C5, so a model of one level has none.
LEVELS = ("C3", "C4", "C5")


def keep_one_level(conversion: Conversion, level: str, model: nn.Module) -> None:
    """Reduce a model of several feature levels to one of them, in place.

    Of each deformable attention the samples of that level stay, and the softmax over
    what is left renormalizes their weights. The neck keeps the projection of the level,
    the mask head the convolution that reads it.

    Args:
        conversion: What was converted.
        level: ``C3``, ``C4`` or ``C5``, of stride 8, 16 or 32.
        model: The model of one level, which knows the number of heads.

    Raises:
        ValueError: If the source has one level only, or not this one.
    """
    index = LEVELS.index(level)
    embeds = conversion.state_dict.get("level_embed")
    if embeds is None or len(embeds) <= max(index, 1):
        count = "none" if embeds is None else len(embeds)
        raise ValueError(
            f"--one-level {level} reduces the weights of a model with several feature "
            f"levels, but this one has {count}."
        )
    note = f"level {level} of {len(embeds)}"
    conversion.adapt("level_embed", embeds[index : index + 1].clone(), note)
    for name in conversion.find(
        r".*\.(temporal_)?(sampling_offsets|attention_weights)\..*"
    ):
        value = conversion.state_dict[name]
        samples = _per_level(value, name, model, len(embeds))
        conversion.adapt(name, samples[:, :, index].flatten(0, 2).clone(), note)
    _keep_module(conversion, "neck.convs", index, note)
    for name in conversion.find(r"neck\.extra_convs\..*"):
        conversion.drop(name, f"level C6; kept is {level}")
    # The mask head goes from the coarsest level to the finest.
    _keep_module(conversion, "bbox_head.mask_head.lateral_convs", 2 - index, note)


def _per_level(value: Tensor, name: str, model: nn.Module, num_levels: int) -> Tensor:
    """An output of an attention as (heads, relative frames, levels, points, ...)."""
    try:
        attention: Any = model.get_submodule(name.rsplit(".", 2)[0])
        frames = len(attention.relative_frames) if ".temporal_" in name else 1
        return value.unflatten(0, (attention.num_heads, frames, num_levels, -1))
    except (AttributeError, RuntimeError) as error:
        raise ValueError(
            f"'{name}' does not fit the model of the config, apart from the number of "
            "levels: choose a config with the same layers, heads and points."
        ) from error


def _keep_module(conversion: Conversion, modules: str, index: int, note: str) -> None:
    """Keep one module of a list, which becomes the first."""
    pattern = modules.replace(".", r"\.") + rf"\.(?!{index}\.)\d+\..*"
    for name in conversion.find(pattern):
        conversion.drop(name, f"reads another level; kept is {note}")
    for name in conversion.find(modules.replace(".", r"\.") + rf"\.{index}\..*"):
        rest = name.removeprefix(f"{modules}.{index}.")
        conversion.rename(name, f"{modules}.0.{rest}", note)
