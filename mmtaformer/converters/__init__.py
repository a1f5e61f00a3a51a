from .seqformer import Conversion, convert_seqformer

__all__ = ["Conversion", "convert_seqformer"]
