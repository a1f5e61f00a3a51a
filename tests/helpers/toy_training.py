"""A model of one layer and data that depend on every random number generator."""

import itertools
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import DefaultSampler
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch.utils.data import Dataset

from mmtaformer.engine import AtomicCheckpointHook, ResumableTrainLoop

_counter = itertools.count()
NUM_BATCHES = 4
NUM_EPOCHS = 3


class RandomData(Dataset):
    """Items are their index beside a number of each generator."""

    def __len__(self) -> int:
        return 2 * NUM_BATCHES

    def __getitem__(self, index: int) -> dict:
        numbers = [index, random.random(), np.random.rand(), torch.rand(()).item()]
        return {"inputs": torch.tensor(numbers), "data_samples": index}


class ToyModel(BaseModel):
    """Linear with dropout; `spoil` may change its losses."""

    def __init__(self, spoil: Callable[[dict], dict] = lambda losses: losses) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 4)
        self.spoil = spoil
        self.seen: list[tuple[float, ...]] = []

    def forward(self, inputs, data_samples=None, mode="tensor"):
        self.seen += [tuple(item.tolist()) for item in inputs]
        hidden = torch.nn.functional.dropout(self.layer(torch.stack(list(inputs))))
        loss = hidden.square().mean()
        return self.spoil({"loss_a": loss, "loss_b": 2 * loss, "accuracy": loss * 0})


def train(
    work_dir: Path,
    hooks: Sequence[Hook] = (),
    model: ToyModel | None = None,
    seed: int | None = 0,
    dataset: Dataset | None = None,
    num_workers: int = 2,
    persistent_workers: bool = False,
    checkpoint: Hook | None = None,
    loop: type = ResumableTrainLoop,
    optim_wrapper: dict | None = None,
    **options: Any,
) -> ToyModel:
    """Trains three epochs of four batches; returns the model."""
    if model is None:
        torch.manual_seed(1)
        model = ToyModel()
    runner = Runner(
        model=model,
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=2,
            num_workers=num_workers,
            persistent_workers=persistent_workers,
            dataset=dataset or RandomData(),
            sampler=dict(type=DefaultSampler, shuffle=True),
        ),
        optim_wrapper=optim_wrapper
        or dict(type=OptimWrapper, optimizer=dict(type=torch.optim.AdamW, lr=0.01)),
        param_scheduler=[
            dict(type="OneCycleLR", eta_max=0.1, total_steps=12, by_epoch=False)
        ],
        train_cfg=dict(type=loop, max_epochs=NUM_EPOCHS),
        default_hooks=dict(checkpoint=checkpoint or AtomicCheckpointHook(interval=1)),
        custom_hooks=list(hooks),
        randomness=dict(seed=seed),
        log_level="WARNING",
        experiment_name=f"toy{next(_counter)}",
        **options,
    )
    runner.train()
    return model


def resume_from(path: Path, work_dir: Path, **kwargs: Any) -> ToyModel:
    """Goes on in a new folder from a checkpoint of another run."""
    work_dir.mkdir()
    shutil.copy(path, work_dir)
    (work_dir / "last_checkpoint").write_text(str(work_dir / path.name))
    return train(work_dir, resume=True, **kwargs)
