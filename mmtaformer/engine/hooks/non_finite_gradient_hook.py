from collections.abc import Mapping
from typing import Any

import torch
from mmdet.registry import HOOKS
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner
from torch.optim import Optimizer


@HOOKS.register_module()
class NonFiniteGradientHook(Hook):
    """Skips the steps of the optimizer whose gradient is not finite.

    A loss can be finite and its gradient not. One such step would leave weights of NaN.
    It is skipped as a gradient scaler does in mixed precision: weights, momenta and
    their counts stay as they are. All processes decide alike.

    Skipped steps are counted and logged. Those that the scaler of mixed precision skips
    do not count, as it finds its scale by them.

    Args:
        max_in_a_row: So many skipped steps one after the other end the run.
    """

    priority = "VERY_HIGH"  # before a checkpoint is saved

    def __init__(self, max_in_a_row: int = 10) -> None:
        self.max_in_a_row = max_in_a_row
        self._in_a_row = 0
        self._skipped = False

    def before_train(self, runner: Runner) -> None:
        """Look at the gradients right before every step."""
        wrapper = runner.optim_wrapper
        wrappers = (
            wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
        )
        for each in wrappers:
            each.optimizer.register_step_pre_hook(self._look_at_gradients)

    def _look_at_gradients(self, optimizer: Optimizer, *_: Any) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        gradients = [p.grad for p in parameters if p.grad is not None]
        gradients = [gradient for gradient in gradients if gradient.numel()]
        self._skipped = not _are_finite(gradients)
        self._in_a_row = self._in_a_row + 1 if self._skipped else 0
        if self._skipped:
            # An optimizer passes over parameters without a gradient.
            for parameter in parameters:
                parameter.grad = None

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Mapping[str, Any] | None = None,
    ) -> None:
        """Count and report a skipped step.

        Args:
            runner: The runner.
            batch_idx: Index of the batch in its epoch.
            data_batch: Not used.
            outputs: Not used.

        Raises:
            FloatingPointError: After ``max_in_a_row`` of them one after the other.
        """
        if not self._skipped:
            return
        self._skipped = False
        count = runner.message_hub.get_info("skipped_steps", 0) + 1
        runner.message_hub.update_info("skipped_steps", count)
        runner.logger.warning(
            f"Iteration {runner.iter + 1}: the gradient is not finite, so the step is "
            f"skipped ({self._in_a_row} in a row, {count} in all)."
        )
        if self._in_a_row >= self.max_in_a_row:
            raise FloatingPointError(
                f"The gradients of {self._in_a_row} steps in a row were not finite, up "
                f"to iteration {runner.iter + 1}. The weights are those from before "
                "them, and so is what was saved; lower the learning rate, or train "
                "without --amp."
            )


def _are_finite(gradients: list[torch.Tensor]) -> bool:
    """Whether the gradients of all processes are finite."""
    norm = torch.nn.utils.get_total_norm(gradients, norm_type=torch.inf)
    finite = norm.isfinite().to(torch.uint8)
    all_reduce(finite, op="min")  # of one process: it stays as it is
    return bool(finite)
