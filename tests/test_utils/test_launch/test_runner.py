import warnings

import pytest
import torch
from mmengine.config import Config

from mmtaformer.utils import launch
from mmtaformer.utils.launch import (
    leave_process_group,
    runner,
    warn_of_slow_bfloat16,
)


@pytest.mark.parametrize("has_gpu", [True, False])
def test_memory_is_pinned_for_gpus(monkeypatch, has_gpu):
    built = []
    monkeypatch.setattr(runner.QuietStart, "from_cfg", built.append, raising=False)
    monkeypatch.setattr(runner, "is_cuda_available", lambda: has_gpu)
    loader = dict(batch_size=1, pin_memory=True)
    launch.build_runner(
        Config(dict(launcher="none", train_dataloader=loader, val_dataloader=None))
    )
    assert ("pin_memory" in built[0].train_dataloader) == has_gpu
    assert built[0].train_dataloader.batch_size == 1


@pytest.mark.parametrize("num_workers", [0, 2])
def test_workers_outlive_an_epoch_where_there_are_some(monkeypatch, num_workers):
    built = []
    monkeypatch.setattr(runner.QuietStart, "from_cfg", built.append, raising=False)
    loader = dict(num_workers=num_workers, persistent_workers=True)
    launch.build_runner(Config(dict(launcher="none", train_dataloader=loader)))
    kept = built[0].train_dataloader.get("persistent_workers", False)
    assert kept == (num_workers > 0)


def test_finished_run_leaves_its_process_group():
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    leave_process_group()
    assert not torch.distributed.is_initialized()


def test_one_process_has_nothing_to_leave():
    leave_process_group()
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize("has_instructions", [True, False])
def test_bfloat16_without_instructions_is_warned_of(monkeypatch, has_instructions):
    monkeypatch.setattr(
        torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: has_instructions
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_slow_bfloat16()
    messages = [str(warning.message) for warning in caught]
    assert len(messages) == (0 if has_instructions else 1)
    assert all("no instructions for bfloat16" in message for message in messages)
