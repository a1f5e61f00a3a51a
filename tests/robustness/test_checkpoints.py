"""Checkpoints that came from anybody: whole, damaged, or made to do harm."""

import random
import re

import pytest
import torch
from mmengine.model import BaseModule
from mmengine.runner import load_checkpoint
from torch import nn

from mmtaformer.converters import read_checkpoint
from mmtaformer.utils.checkpoint import load_checkpoint_file
from mmtaformer.utils.errors import DataError

from ..helpers.toy_training import ToyModel, resume_from, train
from .checkpoints import CRAFTED, ORDINARY, by_config_text, ordinary, write


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The checkpoint of an honest run, and its path."""
    folder = tmp_path_factory.mktemp("runs") / "honest"
    train(folder, num_workers=0)
    path = folder / "epoch_1.pth"
    return torch.load(path, weights_only=False), path  # its schedule and all


def initialize(path):
    class Backbone(BaseModule):
        def __init__(self):
            super().__init__(dict(type="Pretrained", checkpoint=str(path)))
            self.layer = nn.Linear(4, 4)

    Backbone().init_weights()


ENTRIES = {
    "read": lambda path, folder: load_checkpoint_file(path),
    "load_from": lambda path, folder: train(folder, num_workers=0, load_from=str(path)),
    "resume": lambda path, folder: resume_from(path, folder, num_workers=0),
    "init_cfg": lambda path, folder: initialize(path),
    "inference": lambda path, folder: load_checkpoint(ToyModel(), str(path)),
    "convert": lambda path, folder: read_checkpoint(path),
}


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("craft", CRAFTED)
def test_crafted_checkpoints_run_nothing(run, tmp_path, craft, entry):
    marker = tmp_path / "marker"
    path = write(craft(run[0], marker), tmp_path / "crafted.pth")
    if craft is by_config_text:  # nothing is wrong with it but this text
        ENTRIES[entry](path, tmp_path / "run")
    else:
        with pytest.raises(DataError, match=r"crafted\.pth holds getattr"):
            ENTRIES[entry](path, tmp_path / "run")
    assert not marker.exists()


@pytest.mark.parametrize("how", ["zip", "legacy", "pickle"])
@pytest.mark.parametrize("kind", ORDINARY)
def test_ordinary_attacks_run_nothing(run, tmp_path, kind, how):
    marker = tmp_path / "marker"
    path = write(ordinary(kind, run[0], marker), tmp_path / "bad.pth", how)
    with pytest.raises(DataError, match=re.escape(str(path))) as error:
        load_checkpoint_file(path)
    assert "\n" not in str(error.value)
    assert not marker.exists()


@pytest.mark.parametrize("name", ["train.py", "train.py --resume", "test.py"])
def test_tools_refuse_in_one_sentence(run, load_tool, tiny_config, tmp_path, name):
    marker = tmp_path / "marker"
    path = write(CRAFTED[1](run[0], marker), tmp_path / "crafted.pth")
    argv = [str(tiny_config), "--work-dir", str(tmp_path / "work")]
    if name == "test.py":
        argv.insert(1, str(path))
    elif name == "train.py":
        argv += ["--cfg-options", f"load_from={path}"]
    else:
        argv += ["--resume", str(path)]
    with pytest.raises(SystemExit) as exit_info:
        load_tool(name.split()[0]).main(argv)
    assert str(exit_info.value).startswith(f"error: {path} holds getattr")
    assert "\n" not in str(exit_info.value)
    assert not marker.exists()


def test_others_allow_list_is_not_used(run, tmp_path):
    """What another package of the process allowed, mmengine for instance."""
    path = write(CRAFTED[0](run[0], tmp_path / "marker"), tmp_path / "crafted.pth")
    with torch.serialization.safe_globals([getattr]):
        with pytest.raises(DataError):
            load_checkpoint_file(path)
        assert getattr in torch.serialization.get_safe_globals()
    assert getattr not in torch.serialization.get_safe_globals()


@pytest.mark.parametrize("how", ["zip", "legacy"])
def test_damaged_checkpoints(run, tmp_path, how):
    """Read as if nothing were, or refused in one sentence."""
    whole = write(run[0], tmp_path / "whole.pth", how).read_bytes()
    rng = random.Random(0)
    path, refused = tmp_path / "damaged.pth", 0
    for _ in range(150):
        path.write_bytes(damage(whole, rng))
        try:
            load_checkpoint_file(path)
        except DataError as error:
            refused += 1
            assert str(path) in str(error) and "\n" not in str(error)
    assert refused > 50


def damage(content, rng):
    """Change bytes, leave some out or repeat some."""
    content = bytearray(content)
    start = rng.randrange(len(content))
    end = start + rng.choice([1, 2, 8, 100])
    kind = rng.randrange(5)
    if kind == 0:
        content[start:end] = rng.randbytes(end - start)
    elif kind == 1:
        content[start] ^= 1 << rng.randrange(8)
    elif kind == 2:
        del content[start:end]
    elif kind == 3:
        content[start:start] = content[start:end]
    else:
        del content[start:]
    return bytes(content)
