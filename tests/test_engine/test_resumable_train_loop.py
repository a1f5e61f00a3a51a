import random

import numpy as np
import pytest
import torch
from mmengine.runner import EpochBasedTrainLoop

from mmtaformer.engine import AtomicCheckpointHook, resumable_train_loop

from ..helpers.toy_training import (
    NUM_BATCHES,
    NUM_EPOCHS,
    RandomData,
    ToyModel,
    resume_from,
    train,
)

LENGTH = NUM_BATCHES * NUM_EPOCHS


def every_iteration():
    return AtomicCheckpointHook(interval=1, by_epoch=False)


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("seed", [0, None])
def test_resumed_run_equals_whole_run(tmp_path, num_workers, seed):
    whole = train(tmp_path / "whole", num_workers=num_workers, seed=seed)
    resumed = resume_from(
        *(tmp_path / "whole" / "epoch_1.pth", tmp_path / "resumed"),
        **dict(num_workers=num_workers, seed=seed),
    )
    assert torch.equal(whole.layer.weight, resumed.layer.weight)
    assert resumed.seen == whole.seen[2 * NUM_BATCHES :]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_resume_inside_an_epoch_goes_on_exactly_there(tmp_path, num_workers):
    """Whatever the number of data workers before and after."""
    whole = train(tmp_path / "whole", checkpoint=every_iteration(), num_workers=2)
    for done in (1, 4, 6, 11):  # at the end of an epoch too
        resumed = resume_from(
            tmp_path / "whole" / f"iter_{done}.pth",
            tmp_path / f"resumed_{done}",
            checkpoint=every_iteration(),
            num_workers=num_workers,
        )
        assert resumed.seen == whole.seen[2 * done :], done
        assert torch.equal(whole.layer.weight, resumed.layer.weight), done
        assert (tmp_path / f"resumed_{done}" / f"iter_{LENGTH}.pth").is_file()


def test_seen_batches_are_not_loaded_again(tmp_path):
    class Counted(RandomData):
        loaded = 0

        def __getitem__(self, index):
            Counted.loaded += 1
            return super().__getitem__(index)

    checkpoint = tmp_path / "whole" / "iter_6.pth"
    train(checkpoint.parent, checkpoint=every_iteration(), num_workers=0)
    resume_from(checkpoint, tmp_path / "resumed", dataset=Counted(), num_workers=0)
    assert Counted.loaded == 2 * (LENGTH - 6)


@pytest.mark.parametrize("done", [4, 6])
def test_with_mmengine_s_loop_it_does_not(tmp_path, done):
    """Shows that the tests above can fail."""
    options = dict(loop=EpochBasedTrainLoop, num_workers=0)
    options["checkpoint"] = every_iteration()
    whole = train(tmp_path / "whole", **options)
    options = dict(options, checkpoint=every_iteration())
    path = tmp_path / "whole" / f"iter_{done}.pth"
    resumed = resume_from(path, tmp_path / "resumed", **options)
    assert not torch.equal(whole.layer.weight, resumed.layer.weight)


def test_epochs_and_items_differ(tmp_path):
    """Augmentations are drawn anew for every item of every epoch."""
    seen = train(tmp_path / "run").seen
    assert len(seen) == 2 * LENGTH
    for generator in (1, 2, 3):
        assert len({numbers[generator] for numbers in seen}) == 2 * LENGTH
    # The generators are not copies of each other.
    assert all(len(set(numbers[1:])) == 3 for numbers in seen)


def test_training_steps_of_two_processes_differ(tmp_path, monkeypatch):
    """In what they draw, dropout for instance; the items depend on epoch and index."""

    class DrawingModel(ToyModel):
        def __init__(self):
            super().__init__()
            self.drawn = []

        def forward(self, inputs, data_samples=None, mode="tensor"):
            self.drawn.append(
                (random.random(), np.random.rand(), torch.rand(()).item())
            )
            return super().forward(inputs, data_samples, mode)

    models = []
    for rank in (0, 1, 0):
        monkeypatch.setattr(resumable_train_loop, "get_rank", lambda rank=rank: rank)
        folder = tmp_path / str(len(models))
        models.append(train(folder, model=DrawingModel(), num_workers=0))
    first, second, again = models
    assert first.drawn == again.drawn
    for one, other in zip(first.drawn, second.drawn, strict=True):
        assert not set(one) & set(other)
    assert first.seen == second.seen


def test_workers_that_outlive_the_epoch(tmp_path):
    expected = train(tmp_path / "new_workers").seen
    assert train(tmp_path / "old_workers", persistent_workers=True).seen == expected


def test_other_length_starts_the_epoch_anew(tmp_path, capsys):
    class Shorter(RandomData):
        def __len__(self):
            return 4

    train(tmp_path / "whole", checkpoint=every_iteration(), num_workers=0)
    checkpoint = tmp_path / "whole" / "iter_11.pth"
    options = dict(dataset=Shorter(), num_workers=0)
    resumed = resume_from(checkpoint, tmp_path / "resumed", **options)
    assert len(resumed.seen) == 4  # the third of three epochs
    assert "epoch 3 of 2 batches starts anew" in "".join(capsys.readouterr())
