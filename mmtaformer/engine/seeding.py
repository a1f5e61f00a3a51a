"""Random numbers that depend on where a training is, not on how it came there."""

import random
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset


def seed_generators(*numbers: int) -> None:
    """Seed Python, NumPy and torch, each with words of its own.

    Args:
        numbers: What the seed depends on; none is negative.
    """
    words = np.random.SeedSequence(numbers).generate_state(10)
    random.seed(words[:4].tobytes())
    np.random.seed(words[4:8])
    torch.manual_seed(int(words[8]) << 32 | int(words[9]))


class SeededDataset(Dataset):
    """A data set whose items depend on seed, epoch and index alone.

    The generators are seeded before each item is made, so it is the same whichever
    data worker or process makes it, and whatever it made before. Everything else is
    passed on to the data set inside.

    Args:
        dataset: The data set.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        # Seed and epoch, in memory that workers share: some outlive an epoch.
        self._origin = torch.zeros(2, dtype=torch.long).share_memory_()

    def begin_epoch(self, seed: int, epoch: int) -> None:
        """Set what the items of the coming epoch depend on.

        Args:
            seed: Seed of the run.
            epoch: Number of the epoch, from 0.
        """
        self._origin[0], self._origin[1] = seed, epoch

    def __getitem__(self, index: Any) -> Any:
        # mmdet's samplers for videos give pairs of video and frame.
        parts = index if isinstance(index, tuple | list) else (index,)
        seed_generators(*self._origin.tolist(), *map(int, parts))
        return self.dataset[index]

    def __len__(self) -> int:
        return len(self.dataset)

    def __getattr__(self, name: str) -> Any:
        if name == "dataset" or name.startswith("__"):  # while it is unpickled
            raise AttributeError(name)
        return getattr(self.dataset, name)
