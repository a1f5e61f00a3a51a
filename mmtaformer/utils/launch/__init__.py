"""What tools/train.py and tools/test.py have in common."""

from ..errors import DataError, UsageError
from .arguments import add_common_arguments, load_config, require_file
from .checkpoint_check import check_start, check_tested_weights
from .config_check import check_config
from .downloads import fetch_weights
from .friendly_errors import INTERRUPTED, friendly_errors
from .runner import build_runner, leave_process_group, warn_of_slow_bfloat16

__all__ = [
    "INTERRUPTED",
    "DataError",
    "UsageError",
    "add_common_arguments",
    "build_runner",
    "check_config",
    "check_start",
    "check_tested_weights",
    "fetch_weights",
    "friendly_errors",
    "leave_process_group",
    "load_config",
    "require_file",
    "warn_of_slow_bfloat16",
]
