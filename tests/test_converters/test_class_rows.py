import pytest
import torch

from mmtaformer.converters import Conversion, select_class_rows


def class_branch(rows):
    """One class branch whose row r holds r."""
    conversion = Conversion()
    for part, shape in (("weight", (rows, 3)), ("bias", (rows, 1))):
        value = torch.arange(rows)[:, None].expand(shape).float()
        conversion.put(
            f"class_embed.0.{part}", f"bbox_head.cls_branches.0.{part}", value
        )
    return conversion


def rows_of(conversion):
    rows = [value[:, 0].tolist() for value in conversion.state_dict.values()]
    assert rows[0] == rows[1]
    return rows[0]


def test_youtube_vis_ids_become_labels():
    conversion = class_branch(42)
    select_class_rows(conversion)
    assert rows_of(conversion) == list(range(1, 41))
    note = conversion.entries["bbox_head.cls_branches.0.weight"].note
    assert "rows 0, 41" in note


def test_coco_ids_become_labels():
    """COCO's first category is person (1), the last toothbrush (90); the 12th is a stop
    sign (13), for there is no category 12."""
    conversion = class_branch(91)
    select_class_rows(conversion)
    rows = rows_of(conversion)
    assert len(rows) == 80
    assert (rows[0], rows[10], rows[11], rows[-1]) == (1, 11, 13, 90)
    # dining table, toilet, tv, laptop, mouse
    assert rows[60:65] == [67, 70, 72, 73, 74]


def test_keep_drop_and_labels():
    for mode, raw in (("keep", True), ("auto", False)):
        conversion = class_branch(42)
        select_class_rows(conversion, mode, raw)
        assert rows_of(conversion) == list(range(42))
    conversion = class_branch(42)
    select_class_rows(conversion, "drop")
    assert not conversion.state_dict
    assert [entry.source for entry in conversion.left_out] == [
        "class_embed.0.weight",
        "class_embed.0.bias",
    ]


def test_unknown_number_of_rows():
    with pytest.raises(ValueError, match=r"'class_embed.0.weight' has 20 rows.*keep"):
        select_class_rows(class_branch(20))
