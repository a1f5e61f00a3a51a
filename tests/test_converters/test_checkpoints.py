import argparse
import collections

import pytest
import torch
from mmengine.runner import load_checkpoint

from mmtaformer import __version__
from mmtaformer.converters import read_checkpoint, write_checkpoint
from mmtaformer.utils.errors import DataError

WEIGHTS = {"fc.weight": torch.ones(2, 3), "fc.bias": torch.arange(2.0)}


@pytest.mark.parametrize("zipped", [True, False])
def test_released_checkpoints_hold_more(tmp_path, zipped):
    """What the training scripts of DETR's successors save, old format and new."""
    content = dict(
        model=WEIGHTS,
        optimizer=dict(state={0: dict(exp_avg=torch.ones(2))}, param_groups=[]),
        lr_scheduler=dict(milestones=collections.Counter([6, 10]), last_epoch=12),
        epoch=11,
        args=argparse.Namespace(lr=2e-4, lr_drop=[6, 10], backbone="resnet50"),
    )
    path = tmp_path / "released.pth"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    state_dict, others = read_checkpoint(path)
    assert state_dict.keys() == WEIGHTS.keys()
    assert others == ["optimizer", "lr_scheduler", "epoch", "args"]


@pytest.mark.parametrize(
    "content",
    [
        WEIGHTS,
        dict(state_dict=WEIGHTS),
        dict(model={f"module.{name}": value for name, value in WEIGHTS.items()}),
    ],
    ids=["bare", "openmmlab", "distributed"],
)
def test_where_parameters_are(tmp_path, content):
    path = tmp_path / "checkpoint.pth"
    torch.save(content, path)
    state_dict, others = read_checkpoint(path)
    assert not others and state_dict.keys() == WEIGHTS.keys()
    assert state_dict["fc.bias"].equal(WEIGHTS["fc.bias"])


class Malicious:
    """Runs code when it is unpickled."""

    executed = False

    def __reduce__(self):
        return _execute, ()


def _execute():
    Malicious.executed = True


@pytest.mark.parametrize("zipped", [True, False])
def test_code_is_not_run(tmp_path, zipped):
    path = tmp_path / "bad.pth"
    content = dict(model=WEIGHTS, config=Malicious())
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(DataError, match=r"bad\.pth holds .*_execute"):
        read_checkpoint(path)
    assert not Malicious.executed


def test_what_cannot_be_read(tmp_path):
    page = tmp_path / "page.pth"
    page.write_text("<!DOCTYPE html><title>Google Drive - Virus scan</title>")
    pickle = tmp_path / "model_final.pkl"
    pickle.write_bytes(b"\x80\x03}.")
    list_file = tmp_path / "list.pth"
    torch.save([1, 2], list_file)
    options = tmp_path / "options.pth"
    torch.save(dict(epoch=3), options)
    whole = tmp_path / "whole.pth"
    torch.save(dict(model=WEIGHTS), whole)
    cut = tmp_path / "cut.pth"
    cut.write_bytes(whole.read_bytes()[:500])
    for path, message in [
        (page, "page.pth cannot be read .* download complete"),
        (cut, "cut.pth cannot be read .* download complete"),
        (pickle, "model_final.pkl is a pickle"),
        (list_file, "list.pth holds a list"),
        (options, "options.pth to hold parameters, but found 'epoch'"),
    ]:
        with pytest.raises(DataError, match=message):
            read_checkpoint(path)
    with pytest.raises(FileNotFoundError, match=r"no checkpoint .*none\.pth"):
        read_checkpoint(tmp_path / "none.pth")


def test_mmengine_loads_what_is_written(tmp_path):
    path = tmp_path / "new" / "converted.pth"
    write_checkpoint(path, WEIGHTS, source="released.pth", converter="seqformer")
    model = torch.nn.ModuleDict(dict(fc=torch.nn.Linear(3, 2)))
    checkpoint = load_checkpoint(model, str(path), strict=True)
    assert model["fc"].bias.tolist() == [0, 1]
    assert checkpoint["meta"] == dict(
        source="released.pth", converter="seqformer", mmtaformer_version=__version__
    )
    assert [file.name for file in path.parent.iterdir()] == ["converted.pth"]
