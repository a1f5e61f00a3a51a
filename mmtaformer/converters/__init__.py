from .backbones import convert_swin
from .check import build_model, load_converted
from .checkpoint import read_checkpoint, write_checkpoint
from .class_rows import CLASS_ROWS, select_class_rows
from .conversion import Action, Conversion, Entry
from .convert import SOURCES, Source, convert_checkpoint
from .deformable_detr import convert_deformable_detr, convert_mmdet_deformable_detr
from .levels import LEVELS, keep_one_level
from .report import format_report
from .seqformer import convert_seqformer, convert_vnext
from .temporal import TEMPORAL_INITS, initialize_temporal

__all__ = [
    "CLASS_ROWS",
    "LEVELS",
    "SOURCES",
    "TEMPORAL_INITS",
    "Action",
    "Conversion",
    "Entry",
    "Source",
    "build_model",
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
