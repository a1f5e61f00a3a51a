"""A model of one layer and data that depend on every random number generator."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.dataset import DefaultSampler
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch.utils.data import Dataset


class RandomData(Dataset):
    """Items are their index beside a number of each generator."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict:
        numbers = [index, random.random(), np.random.rand(), torch.rand(()).item()]
        return {"inputs": torch.tensor(numbers), "data_samples": index}


class ToyModel(BaseModel):
    """Linear with dropout; `spoil` may change its losses."""

    def __init__(self, spoil: Callable[[dict], dict] = lambda losses: losses) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 4)
        self.spoil = spoil

    def forward(self, inputs, data_samples=None, mode="tensor"):
        hidden = torch.nn.functional.dropout(self.layer(torch.stack(list(inputs))))
        loss = hidden.square().mean()
        return self.spoil({"loss_a": loss, "loss_b": 2 * loss, "accuracy": loss * 0})


def train(
    work_dir: Path,
    hooks: Sequence[Hook],
    model: ToyModel | None = None,
    resume: bool = False,
    seed: int | None = 0,
    dataset: Dataset | None = None,
    num_workers: int = 2,
) -> ToyModel:
    """Trains three epochs of four batches; returns the model."""
    model = model or ToyModel()
    dataset = dataset or RandomData()
    runner = Runner(
        model=model,
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=2,
            num_workers=num_workers,
            dataset=dataset,
            sampler=dict(type=DefaultSampler, shuffle=True),
        ),
        optim_wrapper=dict(
            type=OptimWrapper, optimizer=dict(type=torch.optim.AdamW, lr=0.01)
        ),
        train_cfg=dict(by_epoch=True, max_epochs=3),
        custom_hooks=list(hooks),
        randomness=dict(seed=seed),
        resume=resume,
        log_level="WARNING",
        experiment_name=f"{work_dir.parent.name}_{work_dir.name}",
    )
    runner.train()
    return model
