from mmdet.registry import HOOKS
from mmengine.hooks import LoggerHook
from mmengine.runner import Runner


@HOOKS.register_module()
class MainProcessLoggerHook(LoggerHook):
    """mmengine's logger hook, with the figures of a test written by one process.

    mmengine lets every process of a distributed test write the same JSON file, which
    is not readable when two of them write at once. Everything else that the logger
    hook writes comes from the main process anyway.
    """

    def after_test_epoch(
        self, runner: Runner, metrics: dict[str, float] | None = None
    ) -> None:
        """Writes the figures of the test, in the main process only."""
        if runner.rank == 0:
            super().after_test_epoch(runner, metrics)
