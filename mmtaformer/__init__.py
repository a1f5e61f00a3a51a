"""TAFormer, a temporal-aware transformer for video instance segmentation.

Importing this package registers every component with mmdet's registries.
"""

from .utils.quiet_import import quiet_import
from .utils.version_guard import check_stack
from .version import __version__

check_stack()

with quiet_import():
    from . import (
        datasets,
        engine,
        evaluation,
        models,
        ops,
        registry,
        visualization,
    )

__all__ = [
    "__version__",
    "datasets",
    "engine",
    "evaluation",
    "models",
    "ops",
    "registry",
    "visualization",
]
