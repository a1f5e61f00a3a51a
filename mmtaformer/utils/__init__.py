from .version_guard import check_stack

__all__ = ["check_stack"]
