"""Names of SeqFormer's released checkpoints in terms of this project."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from torch import Tensor

# Released name -> name here; the first pattern that matches a whole name decides.
# A pattern without a replacement names what this project has no use for.
_RULES: list[tuple[str, str | None]] = [
    # The released decoder stores the box branches a second time, and its encoder
    # inherits a projection that nothing reads.
    (r"detr\.transformer\.decoder\.bbox_embed\..*", None),
    (r"detr\.transformer\.encoder\.layers\.\d+\.self_attn\.output_proj_box\..*", None),
    (r"detr\.transformer\.level_embed", r"level_embed"),
    (r"detr\.transformer\.reference_points\.(.*)", r"reference_points_fc.\1"),
    (
        r"detr\.transformer\.(encoder|decoder)\.layers\.(\d+)\.linear1(_box)?\.(.*)",
        r"\1.layers.\2.ffn\3.layers.0.0.\4",
    ),
    (
        r"detr\.transformer\.(encoder|decoder)\.layers\.(\d+)\.linear2(_box)?\.(.*)",
        r"\1.layers.\2.ffn\3.layers.1.\4",
    ),
    (r"detr\.transformer\.(encoder|decoder)\.layers\.(.*)", r"\1.layers.\2"),
    (r"detr\.query_embed\.weight", r"query_embedding.weight"),
    (r"detr\.class_embed\.(.*)", r"bbox_head.cls_branches.\1"),
    (r"detr\.bbox_embed\.(\d+)\.layers\.0\.(.*)", r"bbox_head.reg_branches.\1.0.\2"),
    (r"detr\.bbox_embed\.(\d+)\.layers\.1\.(.*)", r"bbox_head.reg_branches.\1.2.\2"),
    (r"detr\.bbox_embed\.(\d+)\.layers\.2\.(.*)", r"bbox_head.reg_branches.\1.4.\2"),
    (r"detr\.input_proj\.([0-2])\.0\.(.*)", r"neck.convs.\1.conv.\2"),
    (r"detr\.input_proj\.([0-2])\.1\.(.*)", r"neck.convs.\1.gn.\2"),
    (r"detr\.input_proj\.3\.0\.(.*)", r"neck.extra_convs.0.conv.\1"),
    (r"detr\.input_proj\.3\.1\.(.*)", r"neck.extra_convs.0.gn.\1"),
    (r"detr\.backbone\.0\.body\.fc\..*", None),
    (r"detr\.backbone\.0\.body\.(.*)", r"backbone.\1"),
    (r"controller\.layers\.0\.(.*)", r"bbox_head.mask_head.controller.0.\1"),
    (r"controller\.layers\.1\.(.*)", r"bbox_head.mask_head.controller.2.\1"),
    (r"controller\.layers\.2\.(.*)", r"bbox_head.mask_head.controller.4.\1"),
    (r"mask_head\.lay3\.(.*)", r"bbox_head.mask_head.lateral_convs.0.\1"),
    (r"mask_head\.lay4\.(.*)", r"bbox_head.mask_head.lateral_convs.1.\1"),
    (r"mask_head\.dcn\.(.*)", r"bbox_head.mask_head.lateral_convs.2.\1"),
    (r"mask_head\.lay1\.(.*)", r"bbox_head.mask_head.output_convs.0.\1"),
    (r"mask_head\.lay2\.(.*)", r"bbox_head.mask_head.output_convs.1.\1"),
]


@dataclass
class Conversion:
    """A converted state dict and what became of every source name.

    Attributes:
        state_dict: Parameters under this project's names.
        renamed: Source name -> name here.
        dropped: Source names that this project has no use for.
    """

    state_dict: dict[str, Tensor] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)


def convert_name(name: str) -> str | None:
    """This project's name of a released parameter, or None if it has no use.

    Raises:
        ValueError: If the name is not one of SeqFormer's.
    """
    for pattern, replacement in _RULES:
        match = re.fullmatch(pattern, name)
        if match:
            return None if replacement is None else match.expand(replacement)
    raise ValueError(
        f"'{name}' is not a parameter of SeqFormer's released code; expected names "
        "such as 'detr.transformer.level_embed': check that the checkpoint is "
        "SeqFormer's and pass the dictionary under its key 'model'."
    )


def convert_seqformer(source: dict[str, Tensor]) -> Conversion:
    """Convert the state dict of SeqFormer's released code.

    The class branch keeps its rows: the released code indexes them by raw category
    id.

    Args:
        source: Parameters under their released names (``checkpoint['model']``).

    Returns:
        Conversion: The parameters here, which load with ``strict=True``.

    Raises:
        ValueError: If a name is not one of SeqFormer's.
    """
    conversion = Conversion()
    for name, value in source.items():
        target = convert_name(name)
        if target is None:
            conversion.dropped.append(name)
        else:
            conversion.renamed[name] = target
            conversion.state_dict[target] = value
    return conversion
