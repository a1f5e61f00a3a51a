import multiprocessing
import os
import threading

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from mmtaformer.ops import spatio_temporal_deformable_attention

from .attention_cases import make_case

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def run_forward_and_backward() -> list[torch.Tensor]:
    """So many queries that forward and backward pass are divided among threads."""
    case = make_case(relative_frames=(-1, 1), queries=200).with_grad()
    output = spatio_temporal_deformable_attention(*case)
    return [output.detach(), *torch.autograd.grad(output.sum(), case.tensors)]


def test_result_does_not_depend_on_the_threads():
    torch.set_num_threads(1)
    expected = run_forward_and_backward()
    for threads in (2, 5):
        torch.set_num_threads(threads)
        for actual, wanted in zip(run_forward_and_backward(), expected, strict=True):
            assert torch.equal(actual, wanted)


def test_python_threads_may_call_at_the_same_time():
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


class _Attentions(Dataset):
    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> torch.Tensor:
        return run_forward_and_backward()[0]


@needs_fork
def test_data_loader_workers_run_kernels():
    expected = run_forward_and_backward()[0]  # starts the threads of the parent
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


def _child(connection) -> None:
    connection.send([tensor.numpy() for tensor in run_forward_and_backward()])


def test_new_process_finds_the_library_and_the_same_result():
    expected = run_forward_and_backward()
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(sender,))
    process.start()
    assert receiver.poll(120)
    result = receiver.recv()
    process.join(timeout=60)
    for array, wanted in zip(result, expected, strict=True):
        torch.testing.assert_close(torch.from_numpy(array), wanted)
