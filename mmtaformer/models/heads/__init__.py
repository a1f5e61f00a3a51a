from .clip_targets import ClipTargets, build_clip_targets
from .dynamic_conv_mask_head import DynamicConvMaskHead
from .taformer_head import TAFormerHead

__all__ = ["ClipTargets", "DynamicConvMaskHead", "TAFormerHead", "build_clip_targets"]
