import importlib.util

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import load_checkpoint

from mmtaformer.apis import init_model

from ..helpers import released
from ..helpers.converted_models import model_config
from ..helpers.golden import REPO_ROOT, load_golden
from ..helpers.released import Sizes, random_state, stored_twice

TOOL = REPO_ROOT / "tools" / "model_converters" / "convert_checkpoint.py"
BODY = "detr.backbone.0.body."


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("convert_checkpoint", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_config(path, name, sizes, **options):
    config = Config(dict(model=model_config(name, sizes, **options)))
    config.dump(path)
    return str(path)


def released_checkpoint(path, sizes):
    """A checkpoint as SeqFormer's code writes it."""
    shapes = released.seqformer(sizes) | released.torchvision_resnet50(BODY)
    state = stored_twice(shapes)
    torch.save(dict(model=state, epoch=11), path)
    return state


def test_golden_file(tool, tmp_path, capsys):
    """The reference weights, with a backbone beside them, load with strict=True."""
    meta, arrays = load_golden("seqformer_tiny.npz", "MMTAFORMER_GOLDEN")
    state = {
        name.removeprefix("sd/"): torch.from_numpy(value)
        for name, value in arrays.items()
        if name.startswith("sd/")
    }
    state |= random_state(released.torchvision_resnet50(BODY))
    neck = {n: s for n, s in released.seqformer().items() if ".input_proj." in n}
    state |= random_state(neck)  # for a ResNet's channels
    source, target = tmp_path / "released.pth", tmp_path / "out" / "converted.pth"
    torch.save(dict(model=state, epoch=3), source)
    sizes = Sizes(
        dims=meta["embed_dims"],
        heads=meta["num_heads"],
        encoder_points=meta["enc_points"],
        decoder_points=meta["dec_points"],
        feedforward=meta["feedforward"],
        encoder_layers=meta["encoder_layers"],
        decoder_layers=meta["decoder_layers"],
        queries=meta["num_queries"],
        classes=meta["num_classes"],
    )
    config = write_config(tmp_path / "config.py", "seqformer_tiny", sizes)
    arguments = ["seqformer", str(source), str(target), "--config", config]
    tool.main([*arguments, "--class-rows", "keep"])

    model = init_model(config, device="cpu")
    checkpoint = load_checkpoint(model, str(target), strict=True)
    assert checkpoint["meta"]["source"] == "released.pth"
    expected = state["detr.class_embed.2.weight"]
    assert model.bbox_head.cls_branches[2].weight.equal(expected)
    printed = capsys.readouterr().out
    assert "0 of its own are left at initialization" in printed
    assert "detr.transformer.level_embed -> level_embed" in printed
    assert "epoch: no parameters" in printed


def test_seqformer_into_taformer(tool, tmp_path, capsys):
    state = released_checkpoint(tmp_path / "released.pth", Sizes(classes=42))
    config = write_config(tmp_path / "config.py", "taformer_tiny", Sizes(classes=40))
    source, target = str(tmp_path / "released.pth"), str(tmp_path / "converted.pth")
    tool.main(
        ["seqformer", source, target, "--config", config, "--temporal-init", "inflate"]
    )
    content = torch.load(target, weights_only=True)
    converted = content["state_dict"]
    assert converted["bbox_head.cls_branches.1.bias"].equal(
        state["detr.class_embed.1.bias"][1:41]
    )
    assert content["meta"]["temporal_init"] == "inflate"
    printed = capsys.readouterr().out
    added, at_init = printed.split("left at initialization:", 1)
    assert "temporal_sampling_offsets" in added.split("\nadded:")[1]
    assert "bbox_head.projector.{0,2}.{weight,bias}" in at_init
    assert "are left at initialization." in at_init

    # The result is one of this project's own, and now has temporal parts.
    again = str(tmp_path / "again.pth")
    tool.main(["mmtaformer", target, again, "--config", config])
    for name, value in torch.load(again, weights_only=True)["state_dict"].items():
        assert value.equal(converted[name]), name


def test_errors_are_one_sentence(tool, tmp_path, capsys):
    released_checkpoint(tmp_path / "released.pth", Sizes(classes=42))
    source, target = str(tmp_path / "released.pth"), tmp_path / "converted.pth"
    config = write_config(tmp_path / "config.py", "seqformer_tiny", Sizes(classes=6))
    for arguments, message in [
        (["vnext", source], r"released\.pth: 'detr\.transformer\.level_embed'"),
        (["seqformer", source, "--config", config], "--class-rows drop"),
        (["seqformer", source, "--config", "none.py"], r"no config none\.py"),
        (["seqformer", "none.pth"], r"no checkpoint none\.pth"),
    ]:
        kind, file, *options = arguments
        with pytest.raises(SystemExit, match=message) as exit_info:
            tool.main([kind, file, str(target), *options])
        assert str(exit_info.value).startswith("error: ")
    for option in (["--one-level", "C5"], ["--temporal-init", "zero"]):
        with pytest.raises(SystemExit):
            tool.main(["seqformer", source, str(target), *option])
        assert "give its config with --config" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="is the source"):
        tool.main(["seqformer", source, source])
    assert not target.exists()
    tool.main(
        ["seqformer", source, str(target), "--config", config, "--class-rows", "drop"]
    )
    assert "bbox_head.cls_branches.{0-2}.{weight,bias}" in capsys.readouterr().out
