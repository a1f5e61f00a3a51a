from .adaptation import CLASS_ROWS, LEVELS, keep_one_level, select_class_rows
from .backbones import convert_swin
from .checkpoints import read_checkpoint, write_checkpoint
from .deformable_detr import convert_deformable_detr, convert_mmdet_deformable_detr
from .report import format_report
from .rules import Action, Conversion, Entry
from .seqformer import convert_seqformer, convert_vnext
from .sources import (
    SOURCES,
    Source,
    convert_checkpoint,
    initialize_temporal,
    load_converted,
)

__all__ = [
    "CLASS_ROWS",
    "LEVELS",
    "SOURCES",
    "Action",
    "Conversion",
    "Entry",
    "Source",
    "convert_checkpoint",
    "convert_deformable_detr",
    "convert_mmdet_deformable_detr",
    "convert_seqformer",
    "convert_swin",
    "convert_vnext",
    "format_report",
    "initialize_temporal",
    "keep_one_level",
    "load_converted",
    "read_checkpoint",
    "select_class_rows",
    "write_checkpoint",
]
