import random
from typing import Any

import numpy as np
import torch
from mmdet.registry import HOOKS
from mmengine.dataset import worker_init_fn
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Makes the random numbers of an epoch depend on seed, epoch and rank alone.

    Without it a resumed run draws other dropout masks and augmentations than a run
    that was not interrupted. With it, and on the same number of processes and data
    workers, both end with the same weights wherever the arithmetic itself is
    deterministic, as it is on the CPU.

    - Every epoch starts from its own seed in Python, NumPy and torch.
    - Data workers are seeded by torch, from a number drawn at the start of the epoch.
      mmengine seeds them with the same number in every epoch, so that augmentations
      repeat.
    - The sampler takes over the seed of a resumed checkpoint. mmengine restores the
      seed after the sampler was built, so that a run without a seed in its config
      would visit the data in another order.

    Workers that outlive the epoch keep their random state: ``persistent_workers`` must
    be off for exactness, and a warning says so if it is not.
    """

    priority = "VERY_HIGH"

    def __init__(self) -> None:
        self._initial_seed: int | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Remembers the seed that the sampler was built with, ahead of the resumed."""
        self._initial_seed = runner.seed

    def before_train(self, runner: Runner) -> None:
        """Prepares sampler and workers, after a checkpoint was resumed."""
        loader = runner.train_dataloader
        sampler = _epoch_sampler(loader)
        if getattr(sampler, "seed", None) == self._initial_seed:
            sampler.seed = runner.seed
        if getattr(loader.worker_init_fn, "func", None) is worker_init_fn:
            loader.worker_init_fn = None
        if getattr(loader, "persistent_workers", False):
            runner.logger.warning(
                "train_dataloader.persistent_workers is on: after a resume, "
                "augmentations differ from those of an uninterrupted run."
            )

    def before_train_epoch(self, runner: Runner) -> None:
        """Seeds every generator of this process."""
        sequence = np.random.SeedSequence([runner.seed, runner.epoch, get_rank()])
        seed = int(sequence.generate_state(1)[0])
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)


def _epoch_sampler(loader: Any) -> Any:
    """Returns the sampler that orders the data, which a batch sampler may wrap."""
    return getattr(loader.batch_sampler, "sampler", loader.sampler)
