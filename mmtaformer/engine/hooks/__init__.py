from .atomic_checkpoint_hook import AtomicCheckpointHook
from .main_process_logger_hook import MainProcessLoggerHook
from .non_finite_gradient_hook import NonFiniteGradientHook
from .non_finite_loss_hook import NonFiniteLossHook
from .preemption_hook import PreemptionHook
from .progress_hook import ProgressHook
from .video_visualization_hook import VideoVisualizationHook
from .work_dir_lock_hook import WorkDirLockHook

__all__ = [
    "AtomicCheckpointHook",
    "MainProcessLoggerHook",
    "NonFiniteGradientHook",
    "NonFiniteLossHook",
    "PreemptionHook",
    "ProgressHook",
    "VideoVisualizationHook",
    "WorkDirLockHook",
]
