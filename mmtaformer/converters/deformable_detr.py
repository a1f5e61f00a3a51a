"""Deformable DETR, by its authors and in mmdet, in terms of this project.

Its decoder has one stream of queries, SeqFormer's has two, for instances and for
boxes. Both start from the one: on a single frame the result then detects exactly what
Deformable DETR with box refinement detects.
"""

import re
from collections.abc import Mapping

from torch import Tensor

from mmtaformer.utils.errors import DataError

from .backbones import torchvision_resnet_rules
from .rules import Conversion, Rule, convert_by_rules

_BOTH_STREAMS = "for instance queries and for box queries"
_PROPOSALS = "makes queries of the encoder's proposals; here they are learned"

# Modules of a layer, there -> here. "{box}" is where the names of the second stream
# have "_box".
_SAMPLING = {
    f"cross_attn.{name}": f"cross_attn.{name}"
    for name in ("sampling_offsets", "attention_weights", "value_proj")
}
OFFICIAL_DECODER = {
    **_SAMPLING,
    "cross_attn.output_proj{box}": "cross_attn.output_proj{box}",
    "self_attn{box}.in_proj": "self_attn{box}.in_proj",
    "self_attn{box}.out_proj": "self_attn{box}.out_proj",
    "norm1{box}": "norm1{box}",
    "norm2{box}": "norm2{box}",
    "norm3{box}": "norm3{box}",
    "linear1{box}": "ffn{box}.layers.0.0",
    "linear2{box}": "ffn{box}.layers.1",
}
_MMDET_DECODER = {
    **_SAMPLING,
    "cross_attn.output_proj": "cross_attn.output_proj{box}",
    "self_attn.attn.in_proj": "self_attn{box}.in_proj",
    "self_attn.attn.out_proj": "self_attn{box}.out_proj",
    # mmdet counts the norms in the order in which they are applied.
    "norms.0": "norm2{box}",
    "norms.1": "norm1{box}",
    "norms.2": "norm3{box}",
    "ffn.layers.0.0": "ffn{box}.layers.0.0",
    "ffn.layers.1": "ffn{box}.layers.1",
}
_ATTENTION = {
    f"self_attn.{name}": f"self_attn.{name}"
    for name in ("sampling_offsets", "attention_weights", "value_proj", "output_proj")
}
_OFFICIAL_ENCODER = {
    **_ATTENTION,
    "norm1": "norm1",
    "norm2": "norm2",
    "linear1": "ffn.layers.0.0",
    "linear2": "ffn.layers.1",
}
_MMDET_ENCODER = {
    **_ATTENTION,
    "norms.0": "norm1",
    "norms.1": "norm2",
    "ffn.layers.0.0": "ffn.layers.0.0",
    "ffn.layers.1": "ffn.layers.1",
}
# Of the neck, a convolution and its norm.
_CONV = {"0": "conv", "1": "gn"}


def module_rules(
    there: str,
    here: str,
    modules: Mapping[str, str],
    streams: tuple[str, ...] = ("",),
    copies: tuple[str, ...] = ("",),
) -> list[Rule]:
    r"""Rules for the weights and biases of the modules of a layer.

    Args:
        there: Regular expression of what stands before a module's name in the source.
        here: What stands before it here, with references to the groups of ``there``.
        modules: Names of the modules, there -> here.
        streams: What ``{box}`` in a name stands for on both sides, rule by rule.
        copies: What ``{box}`` stands for here, if one source serves several places.
    """
    rules = {}
    for source, target in modules.items():
        for box in streams:
            places = [target.format(box=copy or box) for copy in copies]
            targets = tuple(rf"{here}{name}\g<parameter>" for name in places)
            targets = tuple(dict.fromkeys(targets))
            name = source.format(box=box)
            dot = "_" if name.endswith("in_proj") else r"\."
            rules[name] = Rule(
                rf"{there}{re.escape(name)}(?P<parameter>{dot}(?:weight|bias))",
                targets,
                _BOTH_STREAMS if len(targets) > 1 else "",
            )
    return list(rules.values())


def detr_rules(prefix: str) -> list[Rule]:
    """Rules that SeqFormer shares: all but the backbone and the decoder's layers.

    Args:
        prefix: Regular expression of what stands before ``transformer``.
    """
    transformer = rf"{prefix}transformer\."
    return [
        Rule(transformer + "level_embed", ("level_embed",)),
        Rule(rf"{prefix}query_embed\.weight", ("query_embedding.weight",)),
        *module_rules(
            rf"{transformer}encoder\.layers\.(\d+)\.",
            r"encoder.layers.\1.",
            _OFFICIAL_ENCODER,
        ),
        Rule(
            transformer + r"decoder\.(bbox_embed|class_embed)\..*",
            note="stored twice: the same as without 'transformer.decoder.'",
        ),
        *module_rules(transformer, "", {"reference_points": "reference_points_fc"}),
        *module_rules(
            rf"{prefix}class_embed\.(\d+)", r"bbox_head.cls_branches.\1", {"": ""}
        ),
        *module_rules(
            rf"{prefix}bbox_embed\.(\d+)\.layers\.",
            r"bbox_head.reg_branches.\1.",
            {"0": "0", "1": "2", "2": "4"},
        ),
        *module_rules(
            rf"{prefix}input_proj\.([0-2])\.",
            r"neck.convs.\1.",
            {"0": "conv", "1": "gn"},
        ),
        *module_rules(rf"{prefix}input_proj\.3\.", "neck.extra_convs.0.", _CONV),
    ]


def _official_rules() -> list[Rule]:
    return [
        *detr_rules(""),
        *torchvision_resnet_rules(r"backbone\.0\.body\."),
        *module_rules(
            r"transformer\.decoder\.layers\.(\d+)\.",
            r"decoder.layers.\1.",
            OFFICIAL_DECODER,
            copies=("", "_box"),
        ),
        Rule(
            r"transformer\.(enc_output|pos_trans)(_norm)?\.(weight|bias)",
            note=_PROPOSALS,
        ),
    ]


def _mmdet_rules() -> list[Rule]:
    same = (
        r"level_embed|query_embedding\.weight|reference_points_fc\.(?:weight|bias)"
        r"|(?:backbone|neck)\..*|bbox_head\.(?:cls|reg)_branches\..*"
    )
    return [
        Rule(f"({same})", (r"\1",)),
        *module_rules(
            r"encoder\.layers\.(\d+)\.", r"encoder.layers.\1.", _MMDET_ENCODER
        ),
        *module_rules(
            r"decoder\.layers\.(\d+)\.",
            r"decoder.layers.\1.",
            _MMDET_DECODER,
            copies=("", "_box"),
        ),
        Rule(r"(memory_trans|pos_trans)_(fc|norm)\.(weight|bias)", note=_PROPOSALS),
    ]


def check_copies(source: Mapping[str, Tensor]) -> None:
    """Check that what is stored twice and left out once is the same.

    Raises:
        DataError: If it is not.
    """
    for name, value in source.items():
        other = name.replace("transformer.decoder.", "", 1)
        if re.search(r"transformer\.decoder\.(bbox|class)_embed\.", name) and not (
            other in source and value.equal(source[other])
        ):
            raise DataError(
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
        DataError: If a name is not one of Deformable DETR's.
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
        DataError: If a name is not one of mmdet's Deformable DETR.
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
