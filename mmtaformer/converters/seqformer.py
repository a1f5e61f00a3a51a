"""Names of SeqFormer, in its released code and in VNext, in terms of this project."""

from collections.abc import Mapping

from torch import Tensor

from .backbones import (
    detectron2_resnet_rules,
    swin_rules,
    torchvision_resnet_rules,
)
from .deformable_detr import (
    OFFICIAL_DECODER,
    check_copies,
    detr_rules,
    leave_out_unrefined_boxes,
    module_rules,
)
from .rules import Conversion, Rule, convert_by_rules

_MASK_HEAD = {
    "mask_head.lay3": "mask_head.lateral_convs.0",
    "mask_head.lay4": "mask_head.lateral_convs.1",
    "mask_head.dcn": "mask_head.lateral_convs.2",
    "mask_head.lay1": "mask_head.output_convs.0",
    "mask_head.lay2": "mask_head.output_convs.1",
    "controller.layers.0": "mask_head.controller.0",
    "controller.layers.1": "mask_head.controller.2",
    "controller.layers.2": "mask_head.controller.4",
}


def _seqformer_rules(prefix: str) -> list[Rule]:
    """Rules for all but the backbone.

    Args:
        prefix: Regular expression of what stands before ``detr``.
    """
    detr = rf"{prefix}detr\."
    time_weights = "time_attention_weights"
    return [
        *detr_rules(detr),
        Rule(
            rf"{detr}transformer\.encoder\.layers\.\d+\.self_attn\.output_proj_box\..*",
            note="never read: the encoder has no box queries",
        ),
        *module_rules(
            rf"{detr}transformer\.decoder\.layers\.(\d+)\.",
            r"decoder.layers.\1.",
            {**OFFICIAL_DECODER, time_weights: time_weights},
            streams=("", "_box"),
        ),
        *module_rules(prefix, "bbox_head.", _MASK_HEAD),
    ]


def convert_seqformer(source: Mapping[str, Tensor]) -> Conversion:
    """Convert the state dict of SeqFormer's released code.

    The class branch keeps its rows: the released code indexes them by raw category
    id, see :func:`select_class_rows`.

    Args:
        source: Parameters under their released names (``checkpoint['model']``).

    Returns:
        The parameters here, which load with ``strict=True``.

    Raises:
        DataError: If a name is not one of SeqFormer's.
    """
    backbone = r"detr\.backbone\.0\.body\."
    rules = [
        *_seqformer_rules(""),
        *torchvision_resnet_rules(backbone),
        *swin_rules(backbone),
    ]
    model, example = "SeqFormer's released code", "detr.transformer.level_embed"
    return _convert(source, rules, model, example)


def convert_vnext(source: Mapping[str, Tensor]) -> Conversion:
    """Convert the state dict of SeqFormer in VNext, which is built on detectron2.

    Args:
        source: Parameters under VNext's names (``checkpoint['model']``).

    Returns:
        The parameters here, which load with ``strict=True``.

    Raises:
        DataError: If a name is not one of VNext's SeqFormer.
    """
    backbone = r"detr\.detr\.backbone\.0\.backbone\."
    rules = [
        *_seqformer_rules(r"detr\."),
        *detectron2_resnet_rules(backbone),
        *swin_rules(backbone),
    ]
    model, example = "SeqFormer in VNext", "detr.detr.transformer.level_embed"
    return _convert(source, rules, model, example)


def _convert(
    source: Mapping[str, Tensor], rules: list[Rule], model: str, example: str
) -> Conversion:
    conversion = convert_by_rules(source, rules, model, example)
    check_copies(source)
    leave_out_unrefined_boxes(conversion)
    return conversion
