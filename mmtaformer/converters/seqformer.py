"""Names of SeqFormer, in its released code and in VNext, in terms of this project."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from .backbones import (
    detectron2_resnet_rules,
    swin_rules,
    torchvision_resnet_rules,
)
from .conversion import Conversion, Rule, convert_by_rules
from .detr_names import (
    ATTENTION,
    SELF_ATTENTION,
    WEIGHT,
    check_copies,
    detr_rules,
    leave_out_unrefined_boxes,
)


def _seqformer_rules(prefix: str) -> list[Rule]:
    """Rules for all but the backbone.

    Args:
        prefix: Regular expression of what stands before ``detr``.
    """
    detr = rf"{prefix}detr\."
    layer = rf"{detr}transformer\.decoder\.layers\.(\d+)\."
    here = r"decoder.layers.\1."
    controller = rf"{prefix}controller\.layers\."
    mask_convs = {
        "lay3": "lateral_convs.0",
        "lay4": "lateral_convs.1",
        "dcn": "lateral_convs.2",
        "lay1": "output_convs.0",
        "lay2": "output_convs.1",
    }
    return [
        *detr_rules(detr),
        Rule(
            rf"{detr}transformer\.encoder\.layers\.\d+\.self_attn\.output_proj_box\..*",
            note="never read: the encoder has no box queries",
        ),
        Rule(
            layer + rf"cross_attn\.(?:{ATTENTION}|(output_proj_box))\.{WEIGHT}",
            (here + r"cross_attn.\2\3.\4",),
        ),
        Rule(
            layer + rf"(self_attn|self_attn_box)\.{SELF_ATTENTION}", (here + r"\2.\3",)
        ),
        Rule(
            layer + rf"(norm[123]|norm[123]_box|time_attention_weights)\.{WEIGHT}",
            (here + r"\2.\3",),
        ),
        Rule(
            layer + rf"linear1((?:_box)?)\.{WEIGHT}", (here + r"ffn\2.layers.0.0.\3",)
        ),
        Rule(layer + rf"linear2((?:_box)?)\.{WEIGHT}", (here + r"ffn\2.layers.1.\3",)),
        *(
            Rule(
                controller + rf"{index}\.{WEIGHT}",
                (rf"bbox_head.mask_head.controller.{2 * index}.\1",),
            )
            for index in range(3)
        ),
        *(
            Rule(
                rf"{prefix}mask_head\.{name}\.{WEIGHT}",
                (rf"bbox_head.mask_head.{target}.\1",),
            )
            for name, target in mask_convs.items()
        ),
    ]


def convert_seqformer(source: Mapping[str, Tensor]) -> Conversion:
    """Convert the state dict of SeqFormer's released code.

    The class branch keeps its rows: the released code indexes them by raw category
    id, see :func:`select_class_rows`.

    Args:
        source: Parameters under their released names (``checkpoint['model']``).

    Returns:
        Conversion: The parameters here, which load with ``strict=True``.

    Raises:
        ValueError: If a name is not one of SeqFormer's.
    """
    backbone = r"detr\.backbone\.0\.body\."
    conversion = convert_by_rules(
        source,
        [
            *_seqformer_rules(""),
            *torchvision_resnet_rules(backbone),
            *swin_rules(backbone),
        ],
        "SeqFormer's released code",
        "detr.transformer.level_embed",
    )
    check_copies(source)
    leave_out_unrefined_boxes(conversion)
    return conversion


def convert_vnext(source: Mapping[str, Tensor]) -> Conversion:
    """Convert the state dict of SeqFormer in VNext, which is built on detectron2.

    Args:
        source: Parameters under VNext's names (``checkpoint['model']``).

    Returns:
        Conversion: The parameters here, which load with ``strict=True``.

    Raises:
        ValueError: If a name is not one of VNext's SeqFormer.
    """
    backbone = r"detr\.detr\.backbone\.0\.backbone\."
    conversion = convert_by_rules(
        source,
        [
            *_seqformer_rules(r"detr\."),
            *detectron2_resnet_rules(backbone),
            *swin_rules(backbone),
        ],
        "SeqFormer in VNext",
        "detr.detr.transformer.level_embed",
    )
    check_copies(source)
    leave_out_unrefined_boxes(conversion)
    return conversion
