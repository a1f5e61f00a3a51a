import argparse
import json
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModule
from mmengine.optim import OneCycleLR, OptimWrapper
from mmengine.runner import CheckpointLoader, load_checkpoint
from safetensors.torch import save_file
from torch import nn

from mmtaformer.utils import checkpoint as checkpoint_module
from mmtaformer.utils.checkpoint import load_checkpoint_file
from mmtaformer.utils.errors import DataError, UsageError


def content_of_a_run():
    """What mmengine saves beside the weights, with every kind of value in it."""
    history = HistoryBuffer()
    for value in (1.0, 2.0, 6.0):
        history.update(value)
    # As in checkpoints of older versions.
    history._statistics_methods = dict(mean=HistoryBuffer.mean)
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    optimizer = OptimWrapper(torch.optim.AdamW(model.parameters(), fused=True))
    optimizer.update_params(model(torch.randn(3, 2)).square().sum())
    schedules = [
        OneCycleLR(optimizer, eta_max=0.1, total_steps=9, anneal_strategy=strategy)
        for strategy in ("cos", "linear")
    ]
    info = {
        "best_score": np.float64(0.5),
        "count": np.int64(3),
        "flag": np.bool_(True),
        "loss": np.float32(2),
        "big_endian": np.arange(3, dtype=">i2"),
        "matrix": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "nothing": None,
        "text": "ä",
        "raw": b"\0\xff",
        "nested": [(1, {2.5}), {"size": torch.Size([1, 2]), "type": torch.float16}],
    }
    return {
        "meta": dict(epoch=1, iter=4, cfg="a = 1", dataset_meta=dict(classes=("x",))),
        "state_dict": model.state_dict(),
        "message_hub": {"log_scalars": {"loss": history}, "runtime_info": info},
        "optimizer": optimizer.state_dict(),
        "param_schedulers": [schedule.state_dict() for schedule in schedules],
        "args": argparse.Namespace(lr=1e-4),
    }


def equal(first, second):
    if isinstance(first, dict):
        same = first.keys() == second.keys()
        return same and all(equal(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        same = type(first) is type(second) and len(first) == len(second)
        return same and all(map(equal, first, second))
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    return type(first) is type(second) and np.array_equal(first, second)


@pytest.mark.parametrize("zipped", [True, False])
def test_honest_checkpoints_are_read_whole(tmp_path, zipped):
    saved = content_of_a_run()
    path = tmp_path / "run.pth"
    torch.save(saved, path, _use_new_zipfile_serialization=zipped)
    read = load_checkpoint_file(path)
    assert read["args"] == dict(lr=1e-4)
    history = read["message_hub"]["log_scalars"]["loss"]
    assert history.mean() == history.statistics("mean") == 3
    assert vars(history).keys() == {"max_length", "_log_history", "_count_history"}
    # What a file says to call is not taken over; a schedule keeps its own.
    assert [s.pop("anneal_func") for s in saved["param_schedulers"]]
    for key in ("meta", "state_dict", "optimizer", "param_schedulers"):
        assert equal(read[key], saved[key]), key
    read_info, saved_info = (c["message_hub"]["runtime_info"] for c in (read, saved))
    assert equal(read_info, saved_info)
    assert read["state_dict"]._metadata == saved["state_dict"]._metadata
    for state in read["param_schedulers"]:
        schedule = OneCycleLR(
            OptimWrapper(torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1)),
            **dict(eta_max=0.1, total_steps=9),
        )
        curve = schedule.anneal_func
        schedule.load_state_dict(state)
        assert schedule.anneal_func is curve


def test_shared_storage_stays_shared(tmp_path):
    weight = torch.ones(1000)
    state = dict(first=weight, second=weight, part=weight[:10])
    torch.save(dict(state_dict=state), tmp_path / "tied.pth")
    read = load_checkpoint_file(tmp_path / "tied.pth")["state_dict"]
    assert len({value.untyped_storage().data_ptr() for value in read.values()}) == 1


def test_attributes_of_containers_are_dropped(tmp_path):
    state = OrderedDict(weight=nn.Parameter(torch.ones(2)))
    state.get = "not a method"
    state["weight"].note = "an attribute"
    torch.save(dict(state_dict=state), tmp_path / "odd.pth")
    read = load_checkpoint_file(tmp_path / "odd.pth")["state_dict"]
    assert [*read.items()] and not vars(read) and not vars(read["weight"])


class Unknown:
    pass


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds a list, but a checkpoint is a dictionary"),
        (dict(state_dict=[1]), "'state_dict' holds a list"),
        (dict(state_dict=dict(w=1.0)), "'w', which is a float"),
        (dict(state_dict={1: torch.ones(1)}), "holds 1, which is a Tensor"),
        (dict(ema_state_dict=dict(w=None)), "'w', which is a NoneType"),
        (dict(meta=3), "a int under 'meta'"),
        (dict(meta=dict(epoch="1")), "'1' as 'epoch'"),
        (dict(meta=dict(iter=-1)), "-1 as 'iter'"),
        (dict(model=Unknown()), "Unknown, which no checkpoint needs"),
        (dict(x=np.array([{}])), "a NumPy dtype 'O8'"),
        (dict(x=np.zeros(1, [("a", "i4")])), "a NumPy dtype 'V4'"),
        (dict(x=torch.eye(2).to_sparse()), "a sparse, quantized or nested tensor"),
    ],
)
def test_what_is_no_checkpoint_is_refused(tmp_path, content, message):
    path = tmp_path / "odd.pth"
    torch.save(content, path)
    with pytest.raises(DataError) as error:
        load_checkpoint_file(path)
    assert str(path) in str(error.value) and message in str(error.value)
    assert "\n" not in str(error.value)


def test_files_of_other_kinds(tmp_path):
    torch.save(dict(state_dict=dict(w=torch.ones(1000))), tmp_path / "whole.pth")
    whole = (tmp_path / "whole.pth").read_bytes()
    contents = {
        "text.pth": b"Not found",
        "page.pth": b"<!DOCTYPE html><title>404</title>",
        "empty.pth": b"",
        "cut.pth": whole[:-30],
        "half.pth": whole[: len(whole) // 2],
        "zeros.pth": bytes(1000),
        "text.safetensors": b"Not found",
        "cut.safetensors": b"\x10\0\0\0\0\0\0\0{",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError) as error:
            load_checkpoint_file(tmp_path / name)
        assert f"{tmp_path / name} cannot be read as" in str(error.value)
        assert "\n" not in str(error.value)
    with pytest.raises(FileNotFoundError, match=r"no checkpoint .*none\.pth"):
        load_checkpoint_file(tmp_path / "none.pth")


def write_safetensors(path, model, **metadata):
    save_file(model.state_dict(), path, metadata)
    return path


def test_safetensors_go_where_checkpoints_go(tmp_path):
    model = nn.Linear(2, 3)
    path = write_safetensors(
        *(tmp_path / "published.safetensors", model),
        **dict(classes=json.dumps(["cell"]), metrics='{"AP": 0.5}', cfg="a = 1"),
    )
    content = load_checkpoint_file(path)
    assert equal(dict(content["state_dict"]), dict(model.state_dict()))
    assert content["meta"] == dict(
        cfg="a = 1", dataset_meta=dict(classes=("cell",)), metrics=dict(AP=0.5)
    )
    read = nn.Linear(2, 3)
    load_checkpoint(read, str(path), strict=True)
    assert torch.equal(read.weight, model.weight)

    class Backbone(BaseModule):
        def __init__(self):
            super().__init__(dict(type="Pretrained", checkpoint=str(path)))
            self.weight = nn.Parameter(torch.zeros(3, 2))

    backbone = Backbone()
    backbone.init_weights()
    assert torch.equal(backbone.weight, model.weight)


def test_broken_description_is_refused(tmp_path):
    path = tmp_path / "odd.safetensors"
    write_safetensors(path, nn.Linear(1, 1), classes="[")
    with pytest.raises(DataError, match=r"odd\.safetensors has classes"):
        load_checkpoint_file(path)


def test_downloads_are_read_safely(tmp_path, monkeypatch):
    def download(address, path, progress):
        torch.save(dict(model=Unknown()), path)

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    monkeypatch.setattr(
        checkpoint_module, "get_external_models", lambda: {"x": "http://host/x.pth"}
    )
    monkeypatch.setattr(
        checkpoint_module, "get_mmcls_models", lambda: {"x": "http://host/x.pth"}
    )
    for address in ("https://host/a.pth", "open-mmlab://x", "mmcls://x"):
        with pytest.raises(DataError, match="Unknown, which no checkpoint needs"):
            CheckpointLoader.load_checkpoint(address)
    with pytest.raises(UsageError, match="knows no model 'y'"):
        CheckpointLoader.load_checkpoint("open-mmlab://y")
    for address in ("s3://bucket/a.pth", "local:s3://bucket/a.pth", "pavi://a.pth"):
        with pytest.raises(UsageError, match="download"):
            CheckpointLoader.load_checkpoint(address)
