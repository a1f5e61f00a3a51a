"""Trainings that are killed again and again, and what ``--resume`` makes of it.

By hand, with thousands of kills if need be:

    python -m tests.robustness.crash --kills 30

A training of twelve iterations saves after each. It is killed at a random time or at an
aimed moment of a save, gets SIGTERM, loses a data worker or meets a full disk, and is
started again until it is complete. Its weights must be those of an undisturbed
training, bit for bit, and no start may lose an iteration that had been saved.
"""

import argparse
import errno
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook

from mmtaformer.engine import (
    AtomicCheckpointHook,
    NonFiniteGradientHook,
    NonFiniteLossHook,
    PreemptionHook,
    WorkDirLockHook,
)
from mmtaformer.utils.checkpoint import load_checkpoint_file

from ..helpers import processes
from ..helpers.toy_training import NUM_BATCHES, NUM_EPOCHS, train

LAST = f"iter_{NUM_BATCHES * NUM_EPOCHS}.pth"


class Journal(Hook):
    """Writes down where a training began and what had been saved."""

    priority = "LOWEST"  # after the checkpoint is saved

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, what: str, iteration: int) -> None:
        with self.path.open("a") as file:
            file.write(f"{what} {iteration}\n")

    def before_train(self, runner: Any) -> None:
        self.note("began", runner.iter)

    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        self.note("saved", runner.iter + 1)


def run_training(work_dir: Path, num_workers: int, harm: Callable[[], None]) -> None:
    """Train, or go on, as a process of its own; ``harm`` prepares what befalls it."""
    torch.set_num_threads(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(work_dir / "stderr", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    harm()
    train(
        work_dir,
        [
            WorkDirLockHook(),
            NonFiniteLossHook(),
            NonFiniteGradientHook(),
            Journal(work_dir / "journal"),
            PreemptionHook(),
        ],
        num_workers=num_workers,
        resume=True,
        checkpoint=AtomicCheckpointHook(
            **dict(interval=1, by_epoch=False, max_keep_ckpts=1)
        ),
    )


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at_call(owner: Any, name: str, number: int, act: Callable[..., None]) -> None:
    """Act right before the n-th call of a function; its arguments are given."""
    function, calls = getattr(owner, name), 0

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number:
            act(*args)
        return function(*args, **kwargs)

    setattr(owner, name, wrapped)


def in_the_middle_of_a_file(path: Path, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content[: len(content) // 2])
        file.flush()
        die()


def on_a_full_disk(path: Path, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content[: len(content) // 2])
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def kill_a_worker(*_: Any) -> None:
    for worker in multiprocessing.active_children()[:1]:
        os.kill(worker.pid, signal.SIGKILL)


# A save writes the checkpoint (replace and fsync 1), then last_checkpoint (2).
AIMED: dict[str, Callable[[int], None]] = {
    "half-written checkpoint": lambda n: at_call(
        Path, "write_bytes", n, in_the_middle_of_a_file
    ),
    "before it has its name": lambda n: at_call(os, "replace", n, lambda *_: die()),
    "before it is on the disk": lambda n: at_call(os, "fsync", n, lambda *_: die()),
    "before the old one is removed": lambda n: at_call(
        os, "remove", n, lambda *_: die()
    ),
    "full disk": lambda n: at_call(Path, "write_bytes", n, on_a_full_disk),
    "lost data worker": lambda n: at_call(
        AtomicCheckpointHook, "_save_as", n, kill_a_worker
    ),
}
TIMED = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM}


@dataclass
class Outcome:
    """What became of the trainings."""

    kills: Counter = field(default_factory=Counter)
    resumes: int = 0
    complete: int = 0
    equal: int = 0
    problems: list[str] = field(default_factory=list)


def crash(
    folder: Path,
    kills: int,
    seed: int,
    num_workers: int,
    kinds: Sequence[str] = (*AIMED, *TIMED),
) -> Outcome:
    """Kill trainings so many times, in turn in each of the ways.

    Args:
        folder: Where they run.
        kills: Number of kills.
        seed: Seed of the moments.
        num_workers: Number of data workers.
        kinds: The ways.
    """
    rng, outcome, number = random.Random(seed), Outcome(), 0
    expected = complete(folder / "undisturbed", num_workers)
    while sum(outcome.kills.values()) < kills:
        work_dir = folder / f"run_{number}"
        number += 1
        work_dir.mkdir()
        finished = False
        while not finished and sum(outcome.kills.values()) < kills:
            kind = kinds[sum(outcome.kills.values()) % len(kinds)]
            code = start_and_harm(work_dir, num_workers, kind, rng)
            finished = code == 0
            if not finished:
                outcome.kills[kind] += 1
                # The next start must go on; it is harmed in turn, or runs to its end.
                outcome.resumes += goes_on(work_dir, num_workers, outcome.problems)
        outcome.complete += 1
        outcome.equal += complete(work_dir, num_workers) == expected
        check(work_dir, outcome.problems)
    return outcome


def start_and_harm(
    work_dir: Path, num_workers: int, kind: str, rng: random.Random
) -> int:
    """Run a training that meets some harm; 0 if it was complete before."""

    def harm() -> None:
        if kind in AIMED:
            AIMED[kind](rng.randint(1, 4))

    process = processes.start(run_training, work_dir, num_workers, harm)
    if kind in TIMED:
        time.sleep(rng.uniform(0, 0.6))
        if process.is_alive():
            os.kill(process.pid, TIMED[kind])
    process.join(120)
    assert process.exitcode is not None, "it hangs"
    return process.exitcode


def goes_on(work_dir: Path, num_workers: int, problems: list[str]) -> bool:
    """Start again, until the first iteration is done, in a copy of the folder."""
    with tempfile.TemporaryDirectory(dir=work_dir.parent) as copy:
        shutil.copytree(work_dir, copy, dirs_exist_ok=True)  # with their times
        _point_to(Path(copy))
        process = processes.start(
            *(run_training, Path(copy), num_workers),
            lambda: at_call(Journal, "after_train_iter", 2, lambda *_: die()),
        )
        process.join(120)
        went_on = process.exitcode in (0, -signal.SIGKILL)
        if not went_on:
            problems.append(Path(copy, "stderr").read_text()[-1000:])
        return went_on


def _point_to(folder: Path) -> None:
    path = folder / "last_checkpoint"
    if path.exists():
        path.write_text(str(folder / Path(path.read_text()).name))


def complete(work_dir: Path, num_workers: int) -> dict[str, list]:
    """Train to the end; the final weights."""
    work_dir.mkdir(exist_ok=True)
    process = processes.start(run_training, work_dir, num_workers, lambda: None)
    process.join(120)
    assert process.exitcode == 0, (work_dir / "stderr").read_text()[-2000:]
    state = load_checkpoint_file(work_dir / LAST)["state_dict"]
    return {name: value.tolist() for name, value in state.items()}


def check(work_dir: Path, problems: list[str]) -> None:
    """No start lost what had been saved; no half file and no folder is left."""
    saved = 0
    for line in (work_dir / "journal").read_text().splitlines():
        what, iteration = line.split()
        if what == "began" and int(iteration) < saved:
            problems.append(f"{work_dir}: began at {iteration} after saving {saved}")
        saved = int(iteration)
    left = {path.name for path in work_dir.glob("*.pth")} - {LAST}
    if left or list(work_dir.glob(".partial*")):
        problems.append(f"{work_dir} has {sorted(left)} or temporary folders")


def main() -> None:
    """Report what became of so many kills."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num-workers", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = crash(Path(folder), args.kills, args.seed, args.num_workers)
    for kind, count in outcome.kills.items():
        print(f"{count:4d} {kind}")
    print(
        f"{sum(outcome.kills.values())} kills: {outcome.resumes} resumes; "
        f"{outcome.equal} of {outcome.complete} trainings end with the weights of an "
        "undisturbed one"
    )
    sys.exit("\n".join(outcome.problems) or None)


if __name__ == "__main__":
    main()
