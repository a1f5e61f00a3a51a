from .epoch_seed_hook import EpochSeedHook
from .main_process_logger_hook import MainProcessLoggerHook
from .non_finite_loss_hook import NonFiniteLossHook
from .progress_hook import ProgressHook
from .video_visualization_hook import VideoVisualizationHook

__all__ = [
    "EpochSeedHook",
    "MainProcessLoggerHook",
    "NonFiniteLossHook",
    "ProgressHook",
    "VideoVisualizationHook",
]
