import math
import re

import pytest
import torch

from mmtaformer.converters import Action, convert_seqformer, convert_vnext
from mmtaformer.utils.errors import DataError

from ..helpers import released
from ..helpers.converted_models import build
from ..helpers.released import Sizes, stored_twice

SIZES = Sizes(classes=7)
BODY = "detr.backbone.0.body."
D2_BODY = "detr.detr.backbone.0.backbone."


def released_state(sizes=SIZES):
    shapes = released.seqformer(sizes) | released.torchvision_resnet50(BODY)
    return stored_twice(shapes)


def vnext_state(sizes=SIZES):
    shapes = released.vnext(sizes) | released.detectron2_resnet50(D2_BODY)
    return stored_twice(shapes)


@pytest.mark.parametrize(
    "convert, state",
    [(convert_seqformer, released_state()), (convert_vnext, vnext_state())],
    ids=["released", "vnext"],
)
def test_every_parameter_has_its_place(convert, state):
    conversion = convert(state)
    build("seqformer_tiny", SIZES).load_state_dict(conversion.state_dict, strict=True)
    left_out = {entry.source for entry in conversion.left_out}
    assert len(left_out) + len(conversion.entries) == len(state)
    assert all(
        "decoder.bbox_embed" in name or re.search(r"encoder\..*\.output_proj_box", name)
        for name in left_out
    )


def test_names_and_shapes_under_test_are_the_published_model():
    """The paper counts 49.3 M for SeqFormer with ResNet-50, all of its checkpoint."""
    sizes = Sizes(
        dims=256,
        heads=8,
        encoder_points=4,
        feedforward=1024,
        encoder_layers=6,
        decoder_layers=6,
        queries=300,
        classes=42,
        in_channels=(512, 1024, 2048),
    )
    shapes = released.seqformer(sizes) | released.torchvision_resnet50(BODY, base=64)
    count = sum(math.prod(shape) for shape in shapes.values())
    assert round(count / 1e6, 3) == 49.306


DECODER = "decoder.layers.1."
PAIRS = {
    "transformer.decoder.layers.1.linear1_box.bias": DECODER
    + "ffn_box.layers.0.0.bias",
    "transformer.decoder.layers.1.norm2_box.weight": DECODER + "norm2_box.weight",
    "transformer.encoder.layers.0.linear2.bias": "encoder.layers.0.ffn.layers.1.bias",
    "bbox_embed.1.layers.2.weight": "bbox_head.reg_branches.1.4.weight",
    "input_proj.3.0.weight": "neck.extra_convs.0.conv.weight",
    "input_proj.1.1.bias": "neck.convs.1.gn.bias",
}


def test_values_go_where_they_belong():
    state, other = released_state(), vnext_state()
    result = convert_seqformer(state).state_dict
    vnext_result = convert_vnext(other).state_dict
    for name, target in PAIRS.items():
        assert result[target].equal(state[f"detr.{name}"])
        assert vnext_result[target].equal(other[f"detr.detr.{name}"])
    target = "bbox_head.mask_head.lateral_convs.0.weight"
    assert result[target].equal(state["mask_head.lay3.weight"])
    target = "bbox_head.mask_head.controller.4.bias"
    assert vnext_result[target].equal(other["detr.controller.layers.2.bias"])
    target = "backbone.layer2.0.downsample.1.running_var"
    assert vnext_result[target].equal(
        other[D2_BODY + "res3.0.shortcut.norm.running_var"]
    )
    target = "backbone.layer4.2.bn3.bias"
    assert vnext_result[target].equal(other[D2_BODY + "res5.2.conv3.norm.bias"])


def test_both_versions_agree():
    """VNext is the same model under other names."""
    state = released_state()
    renamed = {}
    for name, value in state.items():
        name = re.sub(r"^detr\.backbone\.0\.body\.", "B", name)
        name = re.sub(r"^B(conv1|bn1)", r"Bstem.\1", name)
        name = re.sub(r"^Blayer(\d)", lambda stage: f"Bres{int(stage[1]) + 1}", name)
        name = re.sub(r"\.bn(\d)\.", r".conv\1.norm.", name) if name[0] == "B" else name
        name = name.replace("downsample.0", "shortcut")
        name = name.replace("downsample.1", "shortcut.norm")
        renamed[D2_BODY + name[1:] if name[0] == "B" else f"detr.{name}"] = value
    expected, actual = convert_seqformer(state), convert_vnext(renamed)
    assert expected.state_dict.keys() == actual.state_dict.keys()
    for name, value in expected.state_dict.items():
        assert value.equal(actual.state_dict[name]), name


@pytest.mark.parametrize(
    "name",
    [
        "detr.transformer.encoder.layers.0.self_attn.gate.weight",
        "detr.transformer.decoder.layers.0.norm4.weight",
        "detr.input_proj.4.0.weight",
        "tracker.weight",
        "detr.backbone.0.body.layer5.0.conv1.weight",
    ],
)
def test_unknown_names_are_named(name):
    state = released_state() | {name: torch.zeros(1)}
    with pytest.raises(DataError, match=re.escape(f"'{name}' is not a parameter")):
        convert_seqformer(state)


def test_copies_that_differ():
    state = released_state()
    name = "detr.transformer.decoder.bbox_embed.1.layers.0.weight"
    state[name] = state[name] + 1
    with pytest.raises(DataError, match=re.escape(name)):
        convert_seqformer(state)


def test_without_box_refinement():
    """All layers share one branch for whole boxes: only the first can use it."""
    state = {k: v for k, v in released_state().items() if "decoder.bbox_embed" not in k}
    for name in [name for name in state if "bbox_embed" in name]:
        state[name] = state[re.sub(r"bbox_embed\.\d", "bbox_embed.0", name)]
    conversion = convert_seqformer(state)
    assert all(entry.action is Action.LEFT_OUT for entry in conversion.left_out)
    dropped = {
        entry.source
        for entry in conversion.left_out
        if "without box refinement" in entry.note
    }
    layers = range(1, SIZES.decoder_layers)
    assert dropped == {
        f"detr.bbox_embed.{layer}.layers.{number}.{part}"
        for layer in layers
        for number in range(3)
        for part in ("weight", "bias")
    } | {
        f"detr.transformer.decoder.layers.{layer}.cross_attn.sampling_offsets.{part}"
        for layer in layers
        for part in ("weight", "bias")
    }
    assert "bbox_head.reg_branches.0.4.weight" in conversion.state_dict


def test_swin_backbone():
    shapes = released.seqformer(SIZES) | released.swin(BODY)
    shapes |= released.norm(BODY + "norm0", 8) | released.norm(BODY + "norm1", 16)
    state = stored_twice(shapes)
    conversion = convert_seqformer(state)
    target = "backbone.stages.1.blocks.0.ffn.layers.1.weight"
    source = BODY + "layers.1.blocks.0.mlp.fc2.weight"
    assert conversion.state_dict[target].equal(state[source])
    assert "backbone.norm1.weight" in conversion.state_dict
    assert BODY + "norm0.weight" in {entry.source for entry in conversion.left_out}
