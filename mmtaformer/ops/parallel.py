"""Runs kernels that release the GIL on as many threads as PyTorch uses.

Numba's own threading layers do not fit here: ``workqueue`` aborts the process when
two Python threads use it at once, and GNU OpenMP does so in a forked child such as a
DataLoader worker. A thread pool of the standard library has neither problem.
"""

import functools
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

import torch

_CHUNKS_PER_THREAD = 4
_MOST_HELPERS = 256  # the pool starts threads only as they are asked for


@functools.lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_MOST_HELPERS, thread_name_prefix="mmtaformer-ops")


# A forked child inherits the pool but none of its threads: it makes its own.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)


def parallel_for(
    kernel: Callable[..., None], items: int, smallest_chunk: int, *args: object
) -> None:
    """Call ``kernel(start, stop, *args)`` until the ranges cover ``range(items)``.

    Args:
        kernel: Releases the GIL; different ranges may run at the same time.
        items: Number of independent work items.
        smallest_chunk: Number of items that is worth the cost of a call.
    """
    threads = min(torch.get_num_threads(), -(-items // smallest_chunk))
    if threads <= 1:
        kernel(0, items, *args)
        return
    chunk = max(-(-items // (threads * _CHUNKS_PER_THREAD)), smallest_chunk)
    starts = itertools.count(0, chunk)  # next() is atomic under the GIL

    def work() -> None:
        while (start := next(starts)) < items:
            kernel(start, min(start + chunk, items), *args)

    helpers = [_pool().submit(work) for _ in range(threads - 1)]
    try:
        work()
    finally:
        started = [helper for helper in helpers if not helper.cancel()]
        wait(started)
    for helper in started:
        helper.result()
