"""Code bases whose checkpoints can be read, and the way from file to parameters."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from mmtaformer.models.detectors import TAFormer
from mmtaformer.models.temporal_init import temporal_start
from mmtaformer.utils.errors import DataError

from .adaptation import keep_one_level, select_class_rows
from .backbones import convert_swin
from .checkpoints import read_checkpoint
from .deformable_detr import convert_deformable_detr, convert_mmdet_deformable_detr
from .rules import Conversion, Rule, convert_by_rules
from .seqformer import convert_seqformer, convert_vnext


def convert_own(source: Mapping[str, Tensor]) -> Conversion:
    """Take over the parameters of this project, to adapt them.

    Raises:
        DataError: If a name is not one of this project's.
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
        temporal_init: See :func:`mmtaformer.models.temporal_init.temporal_start`; None
            leaves the temporal parts out.
        model: The model that shall take the result, which both of these need; what
            was converted is checked against it.

    Returns:
        The parameters and what became of each.

    Raises:
        FileNotFoundError: If there is no such file.
        DataError: If it cannot be read or holds another model, or cannot be adapted
            as asked.
    """
    state_dict, others = read_checkpoint(path)
    kind = SOURCES[source]
    try:
        conversion = kind.convert(state_dict)
        select_class_rows(conversion, class_rows, kind.raw_category_ids)
        if one_level is not None:
            assert model is not None
            keep_one_level(conversion, one_level, model)
        if model is not None:
            check_places(conversion, model)
        if temporal_init is not None:
            assert model is not None
            initialize_temporal(conversion, model, temporal_init)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    for name in others:
        conversion.leave_out(name, "no parameters")
    return conversion


def initialize_temporal(
    conversion: Conversion, model: TAFormer, strategy: str = "inflate"
) -> None:
    """Add the start of the temporal parts to what was converted, in place.

    Args:
        conversion: What was converted.
        model: The model that takes it.
        strategy: See :func:`mmtaformer.models.temporal_init.temporal_start`.
    """
    start = temporal_start(conversion.state_dict, model, strategy)
    for name, (value, note) in start.items():
        if name in conversion.entries:
            conversion.adapt(name, value, note)
        else:
            conversion.add(name, value, note)


def load_converted(conversion: Conversion, model: nn.Module) -> list[str]:
    """Load what was converted; all of it must have its place in the model.

    Args:
        conversion: What was converted.
        model: The model of the config, changed in place.

    Returns:
        Names of the model that stay at initialization.

    Raises:
        DataError: See :func:`check_places`.
    """
    check_places(conversion, model)
    # Not strict, for what is missing is the result; anything else was refused above.
    return list(model.load_state_dict(conversion.state_dict, strict=False).missing_keys)


def check_places(conversion: Conversion, model: nn.Module) -> None:
    """Check that everything that was converted has its place in a model.

    Raises:
        DataError: If the model has no such parameter, or one of another shape.
    """
    expected = model.state_dict()
    for name, value in conversion.state_dict.items():
        if name not in expected:
            raise DataError(
                f"{_origin(conversion, name)} becomes '{name}', which the config's "
                "model does not have: choose a config with the same backbone, numbers "
                "of layers and parts as the source."
            )
        if value.shape != expected[name].shape:
            raise DataError(
                f"{_origin(conversion, name)} becomes '{name}' of shape "
                f"{tuple(value.shape)}, but the config's model expects "
                f"{tuple(expected[name].shape)}: {_advice(name)}"
            )


def _origin(conversion: Conversion, name: str) -> str:
    source = conversion.entries[name].source
    return f"'{source}'" if source else "What the converter added"


def _advice(name: str) -> str:
    if "cls_branches" in name:
        return (
            "set model.bbox_head.num_classes to the number of rows, or leave the class "
            "branches out with --class-rows drop."
        )
    if "level_embed" in name or "sampling_offsets" in name or "attention_w" in name:
        return (
            "choose a config with the same numbers of levels, heads and points; "
            "--one-level reduces several levels to one."
        )
    return "choose a config with the same backbone and sizes as the source."
