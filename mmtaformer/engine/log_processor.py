"""Lines of the log in two lengths: all terms for the file, one row for the console."""

import datetime
import re
from collections.abc import Mapping

from mmdet.registry import LOG_PROCESSORS
from mmengine.runner import LogProcessor, Runner

# Terms of the loss that are shown as one.
_GROUPS = {"bbox": "box", "iou": "box", "mask": "mask", "dice": "mask"}


class LogLine(str):
    """A message with a shorter form of it.

    Attributes:
        short: What the console shows.
    """

    short: str

    def __new__(cls, full: str, short: str) -> "LogLine":
        line = super().__new__(cls, full)
        line.short = short
        return line


@LOG_PROCESSORS.register_module()
class ShortLogProcessor(LogProcessor):
    """mmengine's log processor, with a form of each line that fits the console.

    The console gets place in the run, time left, learning rate, loss and the sums of
    its terms over the decoder's layers. Log file and JSON have every term.
    """

    def get_log_after_iter(
        self, runner: Runner, batch_idx: int, mode: str
    ) -> tuple[dict, str]:
        """Format the line of one iteration.

        Args:
            runner: The runner.
            batch_idx: Index of the batch in its epoch.
            mode: 'train', 'val' or 'test'.

        Returns:
            The values by name, and the line as a :class:`LogLine`.
        """
        tag, full = super().get_log_after_iter(runner, batch_idx, mode)
        if mode != "train":
            return tag, full
        parts = [self._place(runner, batch_idx)]
        if "eta" in runner.message_hub.runtime_info:
            seconds = int(runner.message_hub.get_info("eta"))
            parts.append(f"eta {datetime.timedelta(seconds=seconds)}")
        values = {name.removeprefix("train/"): value for name, value in tag.items()}
        return tag, LogLine(full, "  ".join([*parts, *_short_values(values)]))

    def _place(self, runner: Runner, batch_idx: int) -> str:
        if not self.by_epoch:
            return f"[{runner.iter + 1}/{runner.max_iters}]"
        length = self._get_dataloader_size(runner, "train")
        number = str(self._get_iter(runner, batch_idx)).rjust(len(str(length)))
        epoch = self._get_epoch(runner, "train")
        return f"[{epoch}/{runner.max_epochs}][{number}/{length}]"


def _short_values(values: Mapping[str, float]) -> list[str]:
    """Name the learning rate, the loss, its groups of terms, and the memory."""
    parts = []
    if "lr" in values:
        parts.append(f"lr {values['lr']:.1e}")
    if "loss" in values:
        parts.append(f"loss {values['loss']:.4g}")
    parts += [f"{group} {value:.3g}" for group, value in loss_groups(values).items()]
    if "memory" in values:
        parts.append(f"{values['memory']} MB")
    return parts


def loss_groups(values: Mapping[str, float]) -> dict[str, float]:
    """Sum the terms of a loss over layers, and those of boxes and of masks.

    Args:
        values: Values by name; terms are called ``loss_NAME``, those of a layer
            ``dN.loss_NAME``.

    Returns:
        Sums by the name of their group, in the order of the first terms.
    """
    groups: dict[str, float] = {}
    for name, value in values.items():
        term = re.fullmatch(r"(?:\w+\.)?loss_(\w+)", name)
        if term is not None:
            group = _GROUPS.get(term[1], term[1])
            groups[group] = groups.get(group, 0.0) + value
    return groups
