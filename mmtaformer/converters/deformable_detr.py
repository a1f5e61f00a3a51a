"""Deformable DETR, by its authors and in mmdet, in terms of this project.

Its decoder has one stream of queries, SeqFormer's has two, for instances and for
boxes. Both start from the one: on a single frame the result then detects exactly what
Deformable DETR with box refinement detects.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from .backbones import torchvision_resnet_rules
from .conversion import Conversion, Rule, convert_by_rules
from .detr_names import (
    ATTENTION,
    SELF_ATTENTION,
    WEIGHT,
    check_copies,
    detr_rules,
    leave_out_unrefined_boxes,
)

_BOTH_STREAMS = "for instance queries and for box queries"
_PROPOSALS = "makes queries of the encoder's proposals; here they are learned"


def _decoder_rule(pattern: str, *targets: str) -> Rule:
    note = _BOTH_STREAMS if len(targets) > 1 else ""
    return Rule(pattern, tuple(rf"decoder.layers.\1.{name}" for name in targets), note)


def _official_rules() -> list[Rule]:
    layer = r"transformer\.decoder\.layers\.(\d+)\."
    sampling = r"(sampling_offsets|attention_weights|value_proj)"
    return [
        *detr_rules(""),
        *torchvision_resnet_rules(r"backbone\.0\.body\."),
        _decoder_rule(
            layer + rf"cross_attn\.{sampling}\.{WEIGHT}", r"cross_attn.\2.\3"
        ),
        _decoder_rule(
            layer + rf"cross_attn\.output_proj\.{WEIGHT}",
            r"cross_attn.output_proj.\2",
            r"cross_attn.output_proj_box.\2",
        ),
        _decoder_rule(
            layer + rf"self_attn\.{SELF_ATTENTION}",
            r"self_attn.\2",
            r"self_attn_box.\2",
        ),
        _decoder_rule(layer + rf"(norm[123])\.{WEIGHT}", r"\2.\3", r"\2_box.\3"),
        _decoder_rule(
            layer + rf"linear1\.{WEIGHT}",
            r"ffn.layers.0.0.\2",
            r"ffn_box.layers.0.0.\2",
        ),
        _decoder_rule(
            layer + rf"linear2\.{WEIGHT}", r"ffn.layers.1.\2", r"ffn_box.layers.1.\2"
        ),
        Rule(
            rf"transformer\.(enc_output|pos_trans)(_norm)?\.{WEIGHT}", note=_PROPOSALS
        ),
    ]


def _mmdet_rules() -> list[Rule]:
    encoder, layer = r"encoder\.layers\.(\d+)\.", r"decoder\.layers\.(\d+)\."
    sampling = r"(sampling_offsets|attention_weights|value_proj)"
    same = (
        r"level_embed|query_embedding\.weight|reference_points_fc\.(?:weight|bias)"
        r"|(?:backbone|neck)\..*|bbox_head\.(?:cls|reg)_branches\..*"
    )
    # mmdet counts the norms in the order in which they are applied.
    norms = {0: "norm2", 1: "norm1", 2: "norm3"}
    return [
        Rule(f"({same})", (r"\1",)),
        Rule(
            encoder + rf"(self_attn\.{ATTENTION}|ffn\.layers\.0\.0|ffn\.layers\.1)"
            rf"\.{WEIGHT}",
            (r"encoder.layers.\1.\2.\4",),
        ),
        Rule(encoder + rf"norms\.0\.{WEIGHT}", (r"encoder.layers.\1.norm1.\2",)),
        Rule(encoder + rf"norms\.1\.{WEIGHT}", (r"encoder.layers.\1.norm2.\2",)),
        _decoder_rule(
            layer + rf"cross_attn\.{sampling}\.{WEIGHT}", r"cross_attn.\2.\3"
        ),
        _decoder_rule(
            layer + rf"cross_attn\.output_proj\.{WEIGHT}",
            r"cross_attn.output_proj.\2",
            r"cross_attn.output_proj_box.\2",
        ),
        _decoder_rule(
            layer + rf"self_attn\.attn\.{SELF_ATTENTION}",
            r"self_attn.\2",
            r"self_attn_box.\2",
        ),
        *(
            _decoder_rule(
                layer + rf"norms\.{index}\.{WEIGHT}", rf"{norm}.\2", rf"{norm}_box.\2"
            )
            for index, norm in norms.items()
        ),
        _decoder_rule(
            layer + rf"ffn\.(layers\.0\.0|layers\.1)\.{WEIGHT}",
            r"ffn.\2.\3",
            r"ffn_box.\2.\3",
        ),
        Rule(
            rf"(memory_trans|pos_trans)_(fc|norm)\.{WEIGHT}",
            note=_PROPOSALS,
        ),
    ]


def _leave_out_two_stage(conversion: Conversion) -> None:
    """Leave out what only makes sense with the encoder's proposals."""
    if not any(entry.note == _PROPOSALS for entry in conversion.left_out):
        return
    layers = {
        int(name.split(".")[2]) for name in conversion.find(r"decoder\.layers\..*")
    }
    for name in conversion.find(r"bbox_head\.\w+_branches\..*"):
        index = int(name.split(".")[2])
        if index not in layers:
            conversion.drop(name, "predicts proposals from the encoder's output")
        elif index == 0 and "reg_branches" in name:
            conversion.drop(name, "corrects proposals; here it gives whole boxes")
    for name in conversion.find(
        r"decoder\.layers\.0\.cross_attn\.sampling_offsets\..*"
    ):
        conversion.drop(name, "relative to proposals; here from a point in pixels")


def _add_neck_bias(conversion: Conversion) -> None:
    """Mmdet's neck has no bias ahead of its norm, this project's (SeqFormer's) has."""
    for weight in conversion.find(r"neck\..*\.conv\.weight"):
        bias = weight.removesuffix("weight") + "bias"
        if bias not in conversion.state_dict:
            value = conversion.state_dict[weight]
            conversion.add(bias, value.new_zeros(len(value)), "zero: mmdet has none")


def convert_deformable_detr(source: Mapping[str, Tensor]) -> Conversion:
    """Convert the state dict of Deformable DETR's released code.

    All published variants: plain, with box refinement, two-stage, one level. What only
    one of the first makes sense in is left out.

    Args:
        source: Parameters under their released names (``checkpoint['model']``).

    Raises:
        ValueError: If a name is not one of Deformable DETR's.
    """
    conversion = convert_by_rules(
        source,
        _official_rules(),
        "Deformable DETR's released code",
        "transformer.level_embed",
    )
    _leave_out_two_stage(conversion)
    check_copies(source)
    leave_out_unrefined_boxes(conversion)
    return conversion


def convert_mmdet_deformable_detr(source: Mapping[str, Tensor]) -> Conversion:
    """Convert the state dict of mmdet 3.x's Deformable DETR, in all its variants.

    Args:
        source: Parameters under mmdet's names (``checkpoint['state_dict']``).

    Raises:
        ValueError: If a name is not one of mmdet's Deformable DETR.
    """
    conversion = convert_by_rules(
        source,
        _mmdet_rules(),
        "mmdet 3.x's Deformable DETR",
        "encoder.layers.0.self_attn.sampling_offsets.weight",
    )
    _leave_out_two_stage(conversion)
    leave_out_unrefined_boxes(conversion)
    _add_neck_bias(conversion)
    return conversion
