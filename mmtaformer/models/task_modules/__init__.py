from .match_costs import BoxSequenceGIoUCost, BoxSequenceL2Cost

__all__ = ["BoxSequenceGIoUCost", "BoxSequenceL2Cost"]
