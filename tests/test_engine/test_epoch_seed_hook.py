import logging
import shutil

import pytest
import torch
from mmengine.dataset import DefaultSampler

from mmtaformer.engine import EpochSeedHook

from .toy_training import RandomData, ToyModel, train


def resumed_pair(tmp_path, hooks, **kwargs):
    """Weights of a whole run, and of one that goes on after its first epoch."""
    whole = train(tmp_path / "whole", hooks(), **kwargs)
    (tmp_path / "resumed").mkdir()
    shutil.copy(tmp_path / "whole" / "epoch_1.pth", tmp_path / "resumed")
    last = tmp_path / "resumed" / "last_checkpoint"
    last.write_text(str(tmp_path / "resumed" / "epoch_1.pth"))
    resumed = train(tmp_path / "resumed", hooks(), resume=True, **kwargs)
    return whole.layer.weight, resumed.layer.weight


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("seed", [0, None])
def test_resumed_run_equals_whole_run(tmp_path, num_workers, seed):
    weights = resumed_pair(
        tmp_path, lambda: [EpochSeedHook()], num_workers=num_workers, seed=seed
    )
    assert torch.equal(*weights)


def test_without_the_hook_it_does_not(tmp_path):
    """Shows that the test above can fail."""
    assert not torch.equal(*resumed_pair(tmp_path, list))


def test_epochs_differ(tmp_path):
    """Augmentations are drawn anew in every epoch, by workers and main process."""
    seen = []

    class Recorder(ToyModel):
        def forward(self, inputs, data_samples=None, mode="tensor"):
            seen.extend(tuple(x.tolist()) for x in inputs)
            return super().forward(inputs, data_samples, mode)

    train(tmp_path / "run", [EpochSeedHook()], model=Recorder())
    assert len(seen) == 24
    for generator in (1, 2, 3):
        assert len({numbers[generator] for numbers in seen}) == 24


def test_persistent_workers_are_warned_of(caplog):
    class Loader:
        batch_sampler = None
        sampler = DefaultSampler(RandomData(), seed=5)
        worker_init_fn = None
        persistent_workers = True

    class FakeRunner:
        train_dataloader = Loader()
        seed = 1
        logger = logging.getLogger("test_epoch_seed_hook")

    with caplog.at_level(logging.WARNING):
        EpochSeedHook().before_train(FakeRunner())
    assert "persistent_workers" in caplog.text
    assert FakeRunner.train_dataloader.sampler.seed == 5
