"""What a run writes to the console: the long dumps go to its log file alone."""

import copy
import logging
from typing import Any

from mmengine.logging import MMLogger
from mmengine.logging.logger import MMFormatter

# Beginnings of messages that are dumps or noise, and what the console shows instead.
_DUMPS = {
    "\n" + "-" * 60 + "\nSystem environment:": "",
    "Config:\n": "Config and environment are in {log_file}",
    "Hooks will be executed": "",
    "paramwise_options -- ": "",
    "The model and loaded state dict do not match": "",
    "Exp name: ": "",
    # About mmengine's own code, which no user can change.
    "Distributed training is not used, all SyncBatchNorm": "",
    '"FileClient" will be deprecated': "",
    '"HardDiskBackend" is the alias': "",
}


class ShortFilter(logging.Filter):
    """Keep dumps from the console; the log file has them."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a message is shown."""
        return _stand_in(record) != ""


class ShortFormatter(MMFormatter):
    """Format messages for the console: the time of day and what fits a line.

    A message with an attribute ``short`` is shown as that, see
    :class:`~mmtaformer.engine.log_processor.LogLine`.

    Args:
        log_file: Where the messages stand in full.
    """

    def __init__(self, log_file: str | None) -> None:
        super().__init__(color=True, datefmt="%H:%M:%S")
        self._log_file = str(log_file)
        self.info_format = "%(asctime)s  %(message)s"

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a message."""
        short = _stand_in(record)
        if short is not None:
            record = copy.copy(record)
            record.msg, record.args = short.replace("{log_file}", self._log_file), ()
        return super().format(record)


def _stand_in(record: logging.LogRecord) -> str | None:
    """Return what the console shows for a message, None for the message itself."""
    message = str(record.msg)
    for start, replacement in _DUMPS.items():
        if message.startswith(start):
            return replacement
    return getattr(record.msg, "short", None)


def shorten_console(logger: MMLogger) -> None:
    """Let what a logger writes to the console fit a screen; files keep everything."""
    for handler in logger.handlers:
        if type(handler) is logging.StreamHandler:
            handler.addFilter(ShortFilter())
            handler.setFormatter(ShortFormatter(logger.log_file))


class QuietStart:
    """Mixin of runners that shortens the console before the first dump."""

    logger: MMLogger

    def _log_env(self, *args: Any) -> None:
        shorten_console(self.logger)
        super()._log_env(*args)  # type: ignore[misc]
