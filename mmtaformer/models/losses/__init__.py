from .contrastive_loss import BoxQueryContrastiveLoss

__all__ = ["BoxQueryContrastiveLoss"]
