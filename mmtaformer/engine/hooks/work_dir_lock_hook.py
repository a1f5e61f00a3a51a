from mmdet.registry import HOOKS
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmtaformer.utils.processes import lock_work_dir


@HOOKS.register_module()
class WorkDirLockHook(Hook):
    """Keeps two trainings from writing to the same work dir.

    The main process locks it for all processes of its run. The lock of a process that
    ended is free, however it ended.
    """

    priority = "VERY_HIGH"

    @master_only
    def before_train(self, runner: Runner) -> None:
        """Lock the work dir.

        Raises:
            UsageError: If another training has it.
        """
        self._file = lock_work_dir(runner.work_dir)

    @master_only
    def after_train(self, runner: Runner) -> None:
        """Give the lock back."""
        if self._file is not None:
            self._file.close()
