"""What the training and test loops need beyond mmengine's hooks and optimizers.

Importing it makes mmengine read every checkpoint through ``utils.checkpoint``.
"""

from mmtaformer.utils import checkpoint as _checkpoint  # noqa: F401

from .atomic_backend import AtomicLocalBackend
from .bfloat16_optim_wrapper import BFloat16OptimWrapper
from .hooks import (
    AtomicCheckpointHook,
    MainProcessLoggerHook,
    NonFiniteGradientHook,
    NonFiniteLossHook,
    PreemptionHook,
    ProgressHook,
    VideoVisualizationHook,
    WorkDirLockHook,
)
from .log_processor import ShortLogProcessor
from .resumable_train_loop import ResumableTrainLoop
from .sharded_training_strategy import ShardedTrainingStrategy

__all__ = [
    "AtomicCheckpointHook",
    "AtomicLocalBackend",
    "BFloat16OptimWrapper",
    "MainProcessLoggerHook",
    "NonFiniteGradientHook",
    "NonFiniteLossHook",
    "PreemptionHook",
    "ProgressHook",
    "ResumableTrainLoop",
    "ShardedTrainingStrategy",
    "ShortLogProcessor",
    "VideoVisualizationHook",
    "WorkDirLockHook",
]
