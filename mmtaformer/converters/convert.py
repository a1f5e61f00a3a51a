"""From a checkpoint of another code base to the parameters of this project."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from mmtaformer.models.detectors import TAFormer

from .backbones import convert_swin
from .check import check_places
from .checkpoint import read_checkpoint
from .class_rows import select_class_rows
from .conversion import Conversion, Rule, convert_by_rules
from .deformable_detr import convert_deformable_detr, convert_mmdet_deformable_detr
from .levels import keep_one_level
from .seqformer import convert_seqformer, convert_vnext
from .temporal import initialize_temporal


def convert_own(source: Mapping[str, Tensor]) -> Conversion:
    """Take over the parameters of this project, to adapt them.

    Raises:
        ValueError: If a name is not one of this project's.
    """
    parts = (
        r"level_embed|(?:query_embedding|reference_points_fc|backbone|neck)\..*"
        r"|(?:encoder|decoder)\.layers\..*|decoder\.temporal_self_attns\..*"
        r"|bbox_head\.(?:cls_branches|reg_branches|mask_head|projector)\..*"
    )
    return convert_by_rules(
        source, [Rule(f"({parts})", (r"\1",))], "mmtaformer", "query_embedding.weight"
    )


@dataclass(frozen=True)
class Source:
    """A code base whose checkpoints can be converted.

    Attributes:
        convert: Function of its state dict.
        description: What it is.
        raw_category_ids: Whether its class branches are indexed by raw category ids.
    """

    convert: Callable[[Mapping[str, Tensor]], Conversion]
    description: str
    raw_category_ids: bool = False


SOURCES = {
    "seqformer": Source(convert_seqformer, "SeqFormer's released code", True),
    "vnext": Source(convert_vnext, "SeqFormer in VNext (detectron2)"),
    "deformable-detr": Source(
        convert_deformable_detr, "Deformable DETR's released code", True
    ),
    "mmdet-deformable-detr": Source(
        convert_mmdet_deformable_detr, "Deformable DETR in mmdet 3.x"
    ),
    "swin": Source(convert_swin, "Swin Transformer's official code: a backbone"),
    "mmtaformer": Source(convert_own, "this project, to adapt its weights"),
}


def convert_checkpoint(
    source: str,
    path: str | Path,
    class_rows: str = "auto",
    one_level: str | None = None,
    temporal_init: str | None = None,
    model: TAFormer | None = None,
) -> Conversion:
    """Convert a checkpoint and adapt it.

    Args:
        source: One of ``SOURCES``.
        path: The checkpoint.
        class_rows: See :func:`select_class_rows`.
        one_level: See :func:`keep_one_level`; None keeps all levels.
        temporal_init: See :func:`initialize_temporal`; None leaves the temporal parts
            out.
        model: The model that shall take the result, which both of these need; what
            was converted is checked against it.

    Returns:
        Conversion: The parameters and what became of each.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read or holds another model, or cannot be adapted
            as asked.
    """
    state_dict, others = read_checkpoint(path)
    kind = SOURCES[source]
    try:
        conversion = kind.convert(state_dict)
        select_class_rows(conversion, class_rows, kind.raw_category_ids)
        if one_level is not None:
            keep_one_level(conversion, one_level, _required(model, "--one-level"))
        if model is not None:
            check_places(conversion, model)
        if temporal_init is not None:
            initialize_temporal(
                conversion, _required(model, "--temporal-init"), temporal_init
            )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    for name in others:
        conversion.leave_out(name, "no parameters")
    return conversion


def _required(model: TAFormer | None, option: str) -> TAFormer:
    if model is None:
        raise ValueError(
            f"{option} depends on the model that takes the weights; give its config "
            "with --config."
        )
    return model
