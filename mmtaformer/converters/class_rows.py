"""Rows of the class branches, from category ids to labels."""

from __future__ import annotations

from collections.abc import Sequence

from .conversion import Conversion

CLASS_ROWS = ("auto", "keep", "drop")

_YTVIS_IDS = tuple(range(1, 41))
# COCO has 80 categories with ids from 1 to 90.
_COCO_GAPS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
_COCO_IDS = tuple(i for i in range(1, 91) if i not in _COCO_GAPS)
# Number of outputs of a class branch -> (data set, its category ids).
_RAW_ROWS: dict[int, tuple[str, Sequence[int]]] = {
    42: ("YouTube-VIS", _YTVIS_IDS),
    91: ("COCO", _COCO_IDS),
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
        ValueError: If ``auto`` does not know the number of rows.
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
        raise ValueError(
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
