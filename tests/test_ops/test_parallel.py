import multiprocessing
import os
import threading

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from mmtaformer.ops import parallel, spatio_temporal_deformable_attention
from mmtaformer.ops.parallel import parallel_for

from .attention_cases import make_case

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def small_chunks(monkeypatch):
    """Lets even the smallest input use all threads."""
    monkeypatch.setattr("mmtaformer.ops.cpu_attention._SAMPLES_PER_CHUNK", 1)


def run_forward_and_backward() -> list[torch.Tensor]:
    case = make_case(relative_frames=(-1, 1)).with_grad()
    output = spatio_temporal_deformable_attention(*case)
    return [output.detach(), *torch.autograd.grad(output.sum(), case.tensors)]


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
@pytest.mark.parametrize("items, smallest_chunk", [(0, 1), (1, 1), (7, 3), (100, 1)])
def test_each_item_is_visited_once(threads, items, smallest_chunk):
    torch.set_num_threads(threads)
    visits = [0] * items

    def kernel(start: int, stop: int, step: int) -> None:
        for item in range(start, stop):
            visits[item] += step

    parallel_for(kernel, items, smallest_chunk, 1)
    assert visits == [1] * items


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_follows_the_number_of_threads_of_torch(threads):
    torch.set_num_threads(threads)
    everyone = threading.Barrier(threads)
    seen = set()

    def kernel(start: int, stop: int) -> None:
        if threading.get_ident() not in seen:
            seen.add(threading.get_ident())
            everyone.wait(timeout=20)

    parallel_for(kernel, 1000, 1)
    assert len(seen) == threads


@pytest.mark.parametrize("failing", ["caller", "helper"])
def test_errors_reach_the_caller(failing):
    caller = threading.get_ident()
    barrier = threading.Barrier(2)

    def kernel(start: int, stop: int) -> None:
        barrier.wait(timeout=20)
        if (threading.get_ident() == caller) == (failing == "caller"):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        parallel_for(kernel, 2, 1)


def test_result_does_not_depend_on_the_threads(small_chunks):
    torch.set_num_threads(1)
    expected = run_forward_and_backward()
    for threads in (2, 5):
        torch.set_num_threads(threads)
        for actual, wanted in zip(run_forward_and_backward(), expected, strict=True):
            assert torch.equal(actual, wanted)


def test_python_threads_may_call_at_the_same_time(small_chunks):
    expected = run_forward_and_backward()
    results = []
    threads = [
        threading.Thread(
            target=lambda: results.extend(run_forward_and_backward() for _ in range(5))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(results) == 20
    for result in results:
        assert all(map(torch.equal, result, expected))


def _child(connection) -> None:
    torch.set_num_threads(2)
    connection.send([tensor.numpy() for tensor in run_forward_and_backward()])


@needs_fork
def test_forked_child_runs_kernels(small_chunks):
    expected = run_forward_and_backward()  # starts the threads of the parent
    context = multiprocessing.get_context("fork")
    for _ in range(2):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_child, args=(sender,))
        process.start()
        assert receiver.poll(60), "the forked child hangs"
        result = receiver.recv()
        process.join(timeout=60)
        assert process.exitcode == 0
        for array, wanted in zip(result, expected, strict=True):
            assert torch.equal(torch.from_numpy(array), wanted)
        assert all(map(torch.equal, run_forward_and_backward(), expected))


class _Attentions(Dataset):
    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> torch.Tensor:
        return run_forward_and_backward()[0]


@needs_fork
def test_data_loader_workers_run_kernels(small_chunks):
    expected = run_forward_and_backward()[0]
    loader = DataLoader(
        _Attentions(),
        batch_size=None,
        num_workers=2,
        multiprocessing_context="fork",
        timeout=60,
    )
    results = list(loader)
    assert len(results) == 6
    assert all(torch.equal(result, expected) for result in results)


@needs_fork
def test_fork_drops_the_pool_of_the_parent():
    parallel._pool()
    assert parallel._pool.cache_info().currsize == 1
    pid = os.fork()
    if pid == 0:
        os._exit(parallel._pool.cache_info().currsize)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
