"""Runs cases in processes of their own, which may crash or hang."""

import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

_CONTEXT = multiprocessing.get_context("fork")


@dataclass
class _Worker:
    process: Any
    pipe: Any
    case: int | None = None
    started: float = 0.0


def run_cases(
    function: Callable[[Any], Any],
    cases: Sequence[Any],
    time_limit: float,
    num_workers: int = 1,
) -> list[Any]:
    """Call a function for each case.

    Args:
        function: What to call; it and what it uses are loaded before the fork.
        cases: Its arguments.
        time_limit: Seconds for one case.
        num_workers: How many processes run at a time.

    Returns:
        What the function returned for each case; "hang" where it took too long,
        "crash (N)" where the process died with exit code N.
    """
    outcomes: list[Any] = [None] * len(cases)
    waiting = list(range(len(cases)))[::-1]
    workers = [_start(function, cases) for _ in range(min(num_workers, len(cases)))]
    while waiting or any(worker.case is not None for worker in workers):
        for index, worker in enumerate(workers):
            if worker.case is None and waiting:
                worker.case, worker.started = waiting.pop(), time.monotonic()
                worker.pipe.send(worker.case)
            if worker.case is None:
                continue
            outcome = _poll(worker, time_limit)
            if outcome is None:
                continue
            outcomes[worker.case], worker.case = outcome, None
            if isinstance(outcome, str):  # the process is gone
                workers[index] = _start(function, cases)
    for worker in workers:
        worker.process.kill()
        worker.process.join()
    return [outcome if isinstance(outcome, str) else outcome[0] for outcome in outcomes]


def _start(function: Callable, cases: Sequence[Any]) -> _Worker:
    ours, theirs = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=_work, args=(function, cases, theirs))
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _work(function: Callable, cases: Sequence[Any], pipe: Any) -> None:
    while True:
        pipe.send((function(cases[pipe.recv()]),))


def _poll(worker: _Worker, time_limit: float) -> Any:
    """The outcome of the running case, or None as long as there is none."""
    try:
        if worker.pipe.poll(0.02):
            return worker.pipe.recv()
    except (EOFError, ConnectionError):
        worker.process.join()
        return f"crash ({worker.process.exitcode})"
    if time.monotonic() - worker.started > time_limit:
        worker.process.kill()
        worker.process.join()
        return "hang"
    return None
