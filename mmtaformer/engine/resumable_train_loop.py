"""Training that goes on exactly where it stopped, inside an epoch too."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from mmdet.registry import LOOPS
from mmengine.dist import get_rank
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from .seeding import SeededDataset, seed_generators


@LOOPS.register_module()
class ResumableTrainLoop(EpochBasedTrainLoop):
    """mmengine's ``EpochBasedTrainLoop`` that can begin in the middle of an epoch.

    A resumed run ends with the weights of an uninterrupted one wherever the arithmetic
    itself is deterministic, as it is on the CPU, given the same number of processes.
    No state of a generator is saved for it:

    - A training step draws from generators that were seeded with seed, rank and
      iteration, an item of the data set from such of seed, epoch and index. The number
      of data workers makes no difference.
    - The sampler depends on seed and epoch. Batches that the interrupted run had seen
      are passed over without being loaded.
    - The sampler takes over the seed of a resumed checkpoint. mmengine restores the
      seed after the sampler was built, so that a run without a seed in its config
      would visit the data in another order.

    Args:
        runner: The runner.
        dataloader: The data loader or its config.
        kwargs: See mmengine's ``EpochBasedTrainLoop``.
    """

    _epoch: int
    _iter: int

    def __init__(
        self, runner: Runner, dataloader: DataLoader | dict, **kwargs: Any
    ) -> None:
        super().__init__(runner, dataloader, **kwargs)
        self._built_with_seed = runner.seed
        self._dataset = SeededDataset(self.dataloader.dataset)
        self._batches = _LaterBatches(self.dataloader.batch_sampler)
        # A DataLoader forbids to replace these, as they belong together. Here they do:
        # only what happens around them changes.
        attributes: Any = self.dataloader.__dict__
        attributes.update(dataset=self._dataset, batch_sampler=self._batches)

    def run(self) -> Any:
        """Train, from where a resumed checkpoint was saved if there is one."""
        sampler = self._batches.sampler
        if getattr(sampler, "seed", None) == self._built_with_seed:
            sampler.seed = self.runner.seed
        return super().run()

    def run_epoch(self) -> None:
        """Train one epoch, or what is left of it."""
        num_done = self._count_batches_done()
        seed_generators(self.runner.seed, self._epoch, get_rank())
        self._dataset.begin_epoch(self.runner.seed, self._epoch)
        self._batches.skip(num_done)
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        for index, batch in enumerate(self.dataloader, start=num_done):
            self.run_iter(index, batch)
        self.runner.call_hook("after_train_epoch")
        self._epoch += 1

    def run_iter(self, idx: int, data_batch: Sequence[dict]) -> None:
        """Train one batch.

        Args:
            idx: Its number in the epoch.
            data_batch: The batch.
        """
        seed_generators(self.runner.seed, self._epoch, get_rank(), self._iter)
        super().run_iter(idx, data_batch)

    def _count_batches_done(self) -> int:
        """How many batches of this epoch an interrupted run had seen."""
        length = len(self._batches)
        num_done = self._iter - self._epoch * length
        if 0 <= num_done <= length:  # all of it: its end is what was missed
            return num_done
        self.runner.logger.warning(
            f"After iteration {self._iter}, epoch {self._epoch + 1} of {length} "
            "batches starts anew: the resumed checkpoint is of a run with other data, "
            "batch size or number of processes."
        )
        self._iter = self._epoch * length
        return 0


class _LaterBatches:
    """A batch sampler that can leave out the first batches of an epoch."""

    def __init__(self, batch_sampler: Any) -> None:
        self._batch_sampler = batch_sampler
        self._num_skipped = 0

    def skip(self, num_batches: int) -> None:
        self._num_skipped = num_batches  # until told otherwise: workers start it twice

    def __iter__(self) -> Iterator[Any]:
        return islice(iter(self._batch_sampler), self._num_skipped, None)

    def __len__(self) -> int:
        return len(self._batch_sampler)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch_sampler, name)
