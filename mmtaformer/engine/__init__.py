"""What the training and test loops need beyond mmengine's hooks and optimizers."""

from .bfloat16_optim_wrapper import BFloat16OptimWrapper
from .hooks import (
    EpochSeedHook,
    MainProcessLoggerHook,
    NonFiniteLossHook,
    ProgressHook,
    VideoVisualizationHook,
)
from .log_processor import ShortLogProcessor
from .sharded_training_strategy import ShardedTrainingStrategy

__all__ = [
    "BFloat16OptimWrapper",
    "EpochSeedHook",
    "MainProcessLoggerHook",
    "NonFiniteLossHook",
    "ProgressHook",
    "ShardedTrainingStrategy",
    "ShortLogProcessor",
    "VideoVisualizationHook",
]
