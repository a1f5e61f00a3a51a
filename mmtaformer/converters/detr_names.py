"""Names that Deformable DETR's released code and its successors share."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from .conversion import Conversion, Rule

ATTENTION = r"(sampling_offsets|attention_weights|value_proj|output_proj)"
SELF_ATTENTION = r"(in_proj_weight|in_proj_bias|out_proj\.weight|out_proj\.bias)"
WEIGHT = r"(weight|bias)"


def detr_rules(prefix: str) -> list[Rule]:
    """Rules for all but the backbone and the decoder's layers.

    Args:
        prefix: Regular expression of what stands before ``transformer``.
    """
    transformer = rf"{prefix}transformer\."
    encoder = rf"{transformer}encoder\.layers\.(\d+)\."
    branch = rf"{prefix}bbox_embed\.(\d+)\.layers\."
    return [
        Rule(transformer + "level_embed", ("level_embed",)),
        Rule(
            transformer + rf"reference_points\.{WEIGHT}", (r"reference_points_fc.\1",)
        ),
        Rule(
            encoder + rf"self_attn\.{ATTENTION}\.{WEIGHT}",
            (r"encoder.layers.\1.self_attn.\2.\3",),
        ),
        Rule(encoder + rf"(norm[12])\.{WEIGHT}", (r"encoder.layers.\1.\2.\3",)),
        Rule(
            encoder + rf"linear1\.{WEIGHT}", (r"encoder.layers.\1.ffn.layers.0.0.\2",)
        ),
        Rule(encoder + rf"linear2\.{WEIGHT}", (r"encoder.layers.\1.ffn.layers.1.\2",)),
        Rule(
            transformer + r"decoder\.(bbox_embed|class_embed)\..*",
            note="stored twice: the same as without 'transformer.decoder.'",
        ),
        Rule(rf"{prefix}query_embed\.weight", ("query_embedding.weight",)),
        Rule(
            rf"{prefix}class_embed\.(\d+)\.{WEIGHT}", (r"bbox_head.cls_branches.\1.\2",)
        ),
        *(
            Rule(
                branch + rf"{layer}\.{WEIGHT}",
                (rf"bbox_head.reg_branches.\1.{2 * layer}.\2",),
            )
            for layer in range(3)
        ),
        Rule(rf"{prefix}input_proj\.([0-2])\.0\.{WEIGHT}", (r"neck.convs.\1.conv.\2",)),
        Rule(rf"{prefix}input_proj\.([0-2])\.1\.{WEIGHT}", (r"neck.convs.\1.gn.\2",)),
        Rule(rf"{prefix}input_proj\.3\.0\.{WEIGHT}", (r"neck.extra_convs.0.conv.\1",)),
        Rule(rf"{prefix}input_proj\.3\.1\.{WEIGHT}", (r"neck.extra_convs.0.gn.\1",)),
    ]


def check_copies(source: Mapping[str, Tensor]) -> None:
    """Check that what is stored twice and left out once is the same.

    Raises:
        ValueError: If it is not.
    """
    for name, value in source.items():
        other = name.replace("transformer.decoder.", "", 1)
        if re.search(r"transformer\.decoder\.(bbox|class)_embed\.", name) and not (
            other in source and value.equal(source[other])
        ):
            raise ValueError(
                f"'{name}' should be the same as '{other}', but it is not: the file "
                "does not come from the released code as it is."
            )


def leave_out_unrefined_boxes(conversion: Conversion) -> None:
    """Leave out what only makes sense without iterative box refinement.

    Without it all layers share one box branch, which gives the whole box instead of a
    correction, and every layer samples around points, with offsets in pixels, instead
    of boxes. Here only the first layer does so.
    """
    first = conversion.find(r"bbox_head\.reg_branches\.0\..*")
    second = [name.replace("branches.0.", "branches.1.", 1) for name in first]
    state = conversion.state_dict
    if not first or not all(
        other in state and state[name].equal(state[other])
        for name, other in zip(first, second, strict=True)
    ):
        return
    for name in conversion.find(r"bbox_head\.reg_branches\.(?!0\.).*"):
        conversion.drop(
            name,
            "trained without box refinement: a copy of the first layer's branch, which "
            "gives whole boxes; here it would be a correction of them",
        )
    for name in conversion.find(
        r"decoder\.layers\.(?!0\.)\d+\.cross_attn\.sampling_offsets\..*"
    ):
        conversion.drop(
            name,
            "trained without box refinement: offsets from a point in pixels; here "
            "they are relative to a box",
        )
