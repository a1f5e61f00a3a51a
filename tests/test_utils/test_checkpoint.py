import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim import OneCycleLR, OptimWrapper

from mmtaformer.utils import allow_checkpoint_globals


class Attack:
    """Unpickling this would run a command."""

    def __reduce__(self):
        return os.system, ("true",)


class ForeignAttribute:
    """Unpickling this would hand out a function that runs code."""

    def __reduce__(self):
        return getattr, (HistoryBuffer, "__init__")


def checkpoint_of_a_run():
    """What mmengine saves beside the weights, with every kind of value in it."""
    history = HistoryBuffer()
    for value in (1.0, 2.0, 6.0):
        history.update(value)
    model = torch.nn.Linear(2, 2)
    optimizer = OptimWrapper(torch.optim.AdamW(model.parameters()))
    scheduler = OneCycleLR(optimizer, eta_max=0.1, total_steps=9)
    info = {"best_score": np.float64(0.5), "count": np.int64(3), "loss": np.float32(2)}
    return {
        "state_dict": model.state_dict(),
        "message_hub": {"log_scalars": {"loss": history}, "runtime_info": info},
        "param_schedulers": [scheduler.state_dict()],
    }


def test_checkpoints_of_mmengine_are_read_safely(tmp_path):
    saved = checkpoint_of_a_run()
    torch.save(saved, tmp_path / "run.pth")
    allow_checkpoint_globals()
    loaded = torch.load(tmp_path / "run.pth", weights_only=True)
    history = loaded["message_hub"]["log_scalars"]["loss"]
    assert history.mean() == history.statistics("mean") == 3
    assert loaded["message_hub"]["runtime_info"]["best_score"] == 0.5
    curve = loaded["param_schedulers"][0]["anneal_func"]
    assert curve(0.0, 1.0, 0.5) == pytest.approx(0.5)


@pytest.mark.parametrize("content", [Attack(), ForeignAttribute()])
def test_nothing_else_is_unpickled(tmp_path, content):
    torch.save({"state_dict": {}, "meta": content}, tmp_path / "bad.pth")
    allow_checkpoint_globals()
    with pytest.raises((pickle.UnpicklingError, ValueError)):
        torch.load(tmp_path / "bad.pth", weights_only=True)


def test_runners_do_not_fall_back_to_unsafe_reading(tmp_path):
    """In a process of its own: what is forbidden stays so for its lifetime."""
    marker = tmp_path / "ran"
    script = f"""
import os, torch
class Attack:
    def __reduce__(self):
        return os.system, ("touch {marker}",)
torch.save(dict(state_dict=dict(), meta=Attack()), "{tmp_path}/bad.pth")
from mmtaformer.utils import allow_checkpoint_globals, forbid_arbitrary_pickles
from mmengine.runner import CheckpointLoader
allow_checkpoint_globals()
forbid_arbitrary_pickles()
CheckpointLoader.load_checkpoint("{tmp_path}/bad.pth")
"""
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert run.returncode != 0
    assert "Weights only load failed" in run.stderr
    assert not marker.exists()
