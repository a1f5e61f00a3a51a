import hashlib
import json
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.registry import DefaultScope
from safetensors import safe_open

from mmtaformer.utils.checkpoint import load_checkpoint_file


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("model_converters/publish_model.py")


@pytest.fixture(scope="module")
def checkpoint(tiny_config, tmp_path_factory):
    """What a training leaves, with random weights."""
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(Config.fromfile(tiny_config).model)
    optimizer = torch.optim.AdamW(model.parameters())
    content = dict(
        meta=dict(epoch=2, iter=12, dataset_meta=dict(classes=("disk", "star"))),
        state_dict=model.state_dict(),
        optimizer=optimizer.state_dict(),
        message_hub=dict(
            log_scalars={
                "val/youtube_vis/AP": HistoryBuffer([0.25, 0.5], [1, 1]),
                "val/time": HistoryBuffer([3.0], [1]),
                "train/loss": HistoryBuffer([9.0], [1]),
            }
        ),
    )
    path = tmp_path_factory.mktemp("publish") / "epoch_2.pth"
    torch.save(content, path)
    return path


def publish(tool, capsys, *argv):
    tool.main([str(argument) for argument in argv])
    return capsys.readouterr().out.strip()


def test_weights_and_their_description(tool, checkpoint, tiny_config, tmp_path, capsys):
    out = tmp_path / "tiny.safetensors"
    path = publish(tool, capsys, checkpoint, out, "--config", tiny_config)
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    assert path == str(tmp_path / f"tiny-{digest[:8]}.safetensors")
    published = load_checkpoint_file(path)
    weights = load_checkpoint_file(checkpoint)["state_dict"]
    assert published["state_dict"].keys() == weights.keys()
    for name, value in weights.items():
        assert torch.equal(published["state_dict"][name], value), name
    meta = published["meta"]
    assert meta["dataset_meta"] == dict(classes=("disk", "star"))
    assert meta["metrics"] == {"youtube_vis/AP": 0.5}
    assert meta["name"] == "tiny" and "num_queries=5" in meta["cfg"]


def test_half_precision_is_half_as_large(
    tool, checkpoint, tiny_config, tmp_path, capsys
):
    out = tmp_path / "half.safetensors"
    argv = (checkpoint, out, "--config", tiny_config, "--dtype", "float16")
    path = publish(tool, capsys, *argv)
    weights = load_checkpoint_file(checkpoint)["state_dict"]
    with safe_open(path, "pt") as file:
        for name, value in weights.items():
            expected = value.half() if value.dtype == torch.float32 else value
            assert torch.equal(file.get_tensor(name), expected), name


def test_tools_take_them(tool, load_tool, checkpoint, tiny_config, tmp_path, capsys):
    out = tmp_path / "tiny.safetensors"
    argv = (checkpoint, out, "--config", tiny_config, "--dtype", "float16")
    path = publish(tool, capsys, *argv)
    results = tmp_path / "results.json"
    load_tool("test.py").main(
        [str(tiny_config), path, "--work-dir", str(tmp_path), "--out", str(results)]
    )
    assert json.loads(results.read_text())


@pytest.mark.parametrize(
    ("state_dict", "message"),
    [({}, "has no weights"), ({"w": torch.tensor([1e6])}, "w is not finite")],
)
def test_what_cannot_be_published(tool, tiny_config, tmp_path, state_dict, message):
    path = tmp_path / "odd.pth"
    torch.save(dict(state_dict=state_dict), path)
    argv = [path, tmp_path / "x.safetensors", "--config", tiny_config]
    with pytest.raises(SystemExit, match=message):
        tool.main([str(a) for a in argv] + ["--dtype", "float16"])
    assert not list(tmp_path.glob("*.safetensors"))
    with pytest.raises(SystemExit) as exit_info:
        tool.main([str(path), "x.pth", "--config", str(tiny_config)])
    assert exit_info.value.code == 2
