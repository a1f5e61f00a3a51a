"""Processes that tests start and kill; forked, as importing anew takes seconds."""

import multiprocessing
import os
import time
import traceback
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any


def start(function: Callable[..., Any], *args: Any) -> BaseProcess:
    """Call a function in a process of its own, which may have children.

    What it raises goes to its standard error, and its exit code is that of a script.
    """
    process = multiprocessing.get_context("fork").Process(
        target=_call, args=(function, *args)
    )
    process.start()
    return process


def _call(function: Callable[..., Any], *args: Any) -> None:
    try:
        function(*args)
    except SystemExit:
        raise
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def wait_until(condition: Callable[[], bool], patience: float = 60) -> None:
    """Wait for something that other processes do; generous for busy machines."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.01)


def wait_for_file(path: Path, patience: float = 60) -> None:
    """Wait until another process has made a file."""
    wait_until(path.exists, patience)
