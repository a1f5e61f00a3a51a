from .taformer import TAFormer

__all__ = ["TAFormer"]
