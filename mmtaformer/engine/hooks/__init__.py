from .epoch_seed_hook import EpochSeedHook
from .non_finite_loss_hook import NonFiniteLossHook
from .video_visualization_hook import VideoVisualizationHook

__all__ = ["EpochSeedHook", "NonFiniteLossHook", "VideoVisualizationHook"]
