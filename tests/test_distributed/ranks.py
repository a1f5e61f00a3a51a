"""Runs a function, or a script of tools/, in several processes at once."""

import multiprocessing
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing
from mmengine.registry import DefaultScope

from ..helpers.golden import REPO_ROOT

# Seconds after which a run counts as hanging. Starting one takes ten on an idle
# machine; this is generous for busy ones.
PATIENCE = 900


def run_ranks(
    function: Callable[..., Any], folder: Path, *args: Any, world_size: int = 2
) -> list[Any]:
    """Call a function in every process of a gloo group.

    Args:
        function: Called with the given arguments; it must be importable.
        folder: Where processes meet and leave results; a new one for every call.
        args: Arguments of the function.
        world_size: Number of processes.

    Returns:
        What each process returned.
    """
    # Processes are forked from one that imported everything and did nothing else.
    multiprocessing.set_forkserver_preload(["mmtaformer", "mmengine.runner"])
    folder.mkdir(parents=True, exist_ok=True)
    context = torch.multiprocessing.start_processes(
        _run_rank,
        (function, world_size, free_port(), str(folder), args),
        nprocs=world_size,
        join=False,
        start_method="forkserver",
    )
    deadline = time.monotonic() + PATIENCE
    while not context.join(timeout=1):  # raises what a process raised
        if time.monotonic() > deadline:
            for process in context.processes:
                process.kill()
            pytest.fail(f"{function.__name__} hangs")
    return [
        torch.load(folder / f"rank{rank}.pt", weights_only=False)
        for rank in range(world_size)
    ]


def _run_rank(rank, function, world_size, port, folder, args):
    os.environ.update(rank_environment(rank, world_size, port))
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    with DefaultScope.overwrite_default_scope("mmdet"):
        result = function(*args)
    torch.save(result, f"{folder}/rank{rank}.pt")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def rank_environment(rank: int, world_size: int, port: int) -> dict[str, str]:
    """What torchrun tells a process."""
    return dict(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(world_size),
        LOCAL_WORLD_SIZE=str(world_size),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
    )


def free_port() -> int:
    """A port of this machine that nobody listens at.

    It lies below those that connections are given by the system (from 32768 on Linux),
    or one of them could take it before its user does.
    """
    while True:
        port = 10_000 + secrets.randbelow(20_000)
        with socket.socket() as server:
            try:
                server.bind(("", port))
            except OSError:
                continue
            return port


def start_script(
    name: str, *args: Any, log: Path, **environment: Any
) -> subprocess.Popen:
    """Start a script of tools/ in a session of its own.

    Args:
        name: File name of the script.
        args: Its arguments.
        log: File for what it prints; it runs in the folder of this file.
        environment: Variables beside those of this process.
    """
    given = {"OMP_NUM_THREADS": 1, "PYTHON": sys.executable, **environment}
    values = {**os.environ, **{key: str(value) for key, value in given.items()}}
    with log.open("w") as file:
        return subprocess.Popen(
            ["bash", str(REPO_ROOT / "tools" / name), *map(str, args)],
            cwd=log.parent,
            env=values,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def wait_for(*scripts: subprocess.Popen) -> list[int]:
    """Wait for scripts to end; return their exit codes."""
    deadline = time.monotonic() + PATIENCE
    try:
        return [
            script.wait(timeout=max(deadline - time.monotonic(), 1))
            for script in scripts
        ]
    except subprocess.TimeoutExpired:
        pytest.fail(f"{' '.join(scripts[0].args)} hangs")
    finally:
        for script in scripts:
            if script.poll() is None:
                os.killpg(script.pid, signal.SIGKILL)
