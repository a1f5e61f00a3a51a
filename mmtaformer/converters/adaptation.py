"""What was converted, made to fit: rows of the class branches, and feature levels."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from mmtaformer.utils.errors import DataError

from .rules import Conversion

CLASS_ROWS = ("auto", "keep", "drop")
# C6 is computed from C5, so a model of one level has none.
LEVELS = ("C3", "C4", "C5")

# COCO has 80 categories with ids from 1 to 90.
_COCO_GAPS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
# Number of outputs of a class branch -> (data set, its category ids).
_RAW_ROWS: dict[int, tuple[str, Sequence[int]]] = {
    42: ("YouTube-VIS", range(1, 41)),
    91: ("COCO", [i for i in range(1, 91) if i not in _COCO_GAPS]),
}


def select_class_rows(
    conversion: Conversion, mode: str = "auto", raw_category_ids: bool = True
) -> None:
    """Make rows of the class branches stand for labels, in place.

    SeqFormer's and Deformable DETR's released code index the class branch by the raw
    category id: 42 rows for the ids 1..40 of YouTube-VIS, 91 for the 80 ids of COCO.
    Labels here count the categories of the annotation file in the order of their ids.

    Args:
        conversion: What was converted.
        mode: ``auto`` selects these rows; ``keep`` keeps all as they are; ``drop``
            leaves the class branches out, for fine-tuning on other classes.
        raw_category_ids: Whether the source indexes by raw category ids; ``auto``
            keeps the rows of others.

    Raises:
        DataError: If ``auto`` does not know the number of rows.
    """
    names = conversion.find(r"bbox_head\.cls_branches\..*")
    if mode == "drop":
        for name in names:
            conversion.drop(name, "class branches are not wanted")
    elif mode == "auto" and raw_category_ids:
        for name in names:
            _select_category_ids(conversion, name)


def _select_category_ids(conversion: Conversion, name: str) -> None:
    value = conversion.state_dict[name]
    if len(value) not in _RAW_ROWS:
        raise DataError(
            f"'{conversion.entries[name].source}' has {len(value)} rows; which of them "
            "stand for categories is known for 42 (YouTube-VIS) and 91 (COCO). Keep "
            "them all with --class-rows keep, or leave the class branches out with "
            "--class-rows drop."
        )
    data_set, ids = _RAW_ROWS[len(value)]
    unused = [row for row in range(len(value)) if row not in ids]
    conversion.adapt(
        name,
        value[list(ids)],
        f"the {len(ids)} rows of {data_set}'s category ids; left out are rows "
        f"{', '.join(map(str, unused))}, which are no id",
    )


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
        DataError: If the source has one level only, or not this one.
    """
    index = LEVELS.index(level)
    embeds = conversion.state_dict.get("level_embed")
    if embeds is None or len(embeds) <= max(index, 1):
        count = "none" if embeds is None else len(embeds)
        raise DataError(
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
        raise DataError(
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
