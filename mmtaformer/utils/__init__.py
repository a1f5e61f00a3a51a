from .checkpoint import allow_checkpoint_globals, forbid_arbitrary_pickles
from .version_guard import check_stack

__all__ = ["allow_checkpoint_globals", "check_stack", "forbid_arbitrary_pickles"]
