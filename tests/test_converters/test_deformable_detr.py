"""Deformable DETR's weights, by their authors and in mmdet."""

import re

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample

from mmtaformer.converters import (
    convert_deformable_detr,
    convert_mmdet_deformable_detr,
)
from mmtaformer.utils.errors import DataError

from ..helpers import released
from ..helpers.converted_models import build
from ..helpers.released import Sizes, random_state

SIZES = Sizes(encoder_points=4, classes=80)


def official_state(refine=True):
    shapes = released.detr(SIZES, "", ("",), refine)
    shapes |= released.torchvision_resnet50("backbone.0.body.")
    state = random_state(shapes)
    for name in state:
        other = name.replace("transformer.decoder.bbox_embed", "bbox_embed")
        if not refine:
            other = re.sub(r"(bbox|class)_embed\.\d", r"\1_embed.0", other)
        state[name] = state[other]
    return state


def build_mmdet(**options):
    """mmdet's Deformable DETR of the same sizes."""
    attention = dict(embed_dims=SIZES.dims, num_heads=SIZES.heads, num_levels=4)
    ffn = dict(embed_dims=SIZES.dims, feedforward_channels=SIZES.feedforward)
    model = dict(
        type="DeformableDETR",
        num_queries=SIZES.queries,
        num_feature_levels=4,
        with_box_refine=True,
        backbone=dict(type="ResNet", depth=50, base_channels=8, out_indices=(1, 2, 3)),
        neck=dict(
            type="ChannelMapper",
            in_channels=list(SIZES.in_channels),
            out_channels=SIZES.dims,
            kernel_size=1,
            act_cfg=None,
            norm_cfg=dict(type="GN", num_groups=16),
            num_outs=4,
        ),
        encoder=dict(
            num_layers=SIZES.encoder_layers,
            layer_cfg=dict(self_attn_cfg=attention, ffn_cfg=ffn),
        ),
        decoder=dict(
            num_layers=SIZES.decoder_layers,
            return_intermediate=True,
            post_norm_cfg=None,
            layer_cfg=dict(
                self_attn_cfg=dict(embed_dims=SIZES.dims, num_heads=SIZES.heads),
                cross_attn_cfg=attention,
                ffn_cfg=ffn,
            ),
        ),
        positional_encoding=dict(
            num_feats=SIZES.dims // 2, normalize=True, offset=-0.5
        ),
        bbox_head=dict(
            type="DeformableDETRHead",
            num_classes=80,
            embed_dims=SIZES.dims,
            loss_cls=dict(type="FocalLoss", use_sigmoid=True),
        ),
        test_cfg=dict(max_per_img=5),
    )
    torch.manual_seed(0)
    model = MODELS.build(model | options)
    model.init_weights()
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return model.eval()


@pytest.fixture(scope="module")
def mmdet_model():
    return build_mmdet()


def load(conversion, **options):
    """Load into SeqFormer; returns what stays at initialization."""
    model = build("seqformer_tiny", SIZES, **options)
    result = model.load_state_dict(conversion.state_dict, strict=False)
    assert not result.unexpected_keys
    return model, result.missing_keys


# What SeqFormer adds to Deformable DETR.
NEW = r"bbox_head\.mask_head\..*|decoder\.layers\.\d\.time_attention_weights\..*"


def test_official_names():
    state = official_state()
    conversion = convert_deformable_detr(state)
    _, missing = load(conversion)
    assert missing and all(re.fullmatch(NEW, name) for name in missing)
    for stream in ("", "_box"):
        assert conversion.state_dict[f"decoder.layers.1.norm3{stream}.bias"].equal(
            state["transformer.decoder.layers.1.norm3.bias"]
        )


@torch.no_grad()
def test_one_frame_gives_what_mmdet_gives(mmdet_model):
    conversion = convert_mmdet_deformable_detr(mmdet_model.state_dict())
    model, missing = load(conversion)
    assert missing and all(re.fullmatch(NEW, name) for name in missing)
    images = torch.randn(2, 3, 64, 96)
    samples = [
        DetDataSample(metainfo=dict(img_shape=(64, 96), batch_input_shape=(64, 96)))
        for _ in images
    ]
    logits, boxes = mmdet_model(images, samples, mode="tensor")[:2]
    # Each image is a clip of one frame.
    outputs = model(images.unsqueeze(1), mode="tensor")
    for layer, output in enumerate(outputs):
        classes = model.bbox_head.cls_branches[layer](output.instance_query)
        torch.testing.assert_close(classes, logits[layer], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(
            output.boxes[:, 0], boxes[layer], atol=1e-5, rtol=1e-4
        )


def test_official_and_mmdet_agree(mmdet_model):
    """mmdet's weights under the official names give the same."""
    patterns = {
        r"bbox_head\.cls_branches": "class_embed",
        r"bbox_head\.reg_branches\.(\d)\.0": r"bbox_embed.\1.layers.0",
        r"bbox_head\.reg_branches\.(\d)\.2": r"bbox_embed.\1.layers.1",
        r"bbox_head\.reg_branches\.(\d)\.4": r"bbox_embed.\1.layers.2",
        r"query_embedding": "query_embed",
        r"reference_points_fc": "transformer.reference_points",
        r"level_embed": "transformer.level_embed",
        r"neck\.convs\.(\d)\.conv": r"input_proj.\1.0",
        r"neck\.convs\.(\d)\.gn": r"input_proj.\1.1",
        r"neck\.extra_convs\.0\.conv": "input_proj.3.0",
        r"neck\.extra_convs\.0\.gn": "input_proj.3.1",
        r"backbone\.": "backbone.0.body.",
        r"(encoder|decoder)\.layers": r"transformer.\1.layers",
        r"self_attn\.attn": "self_attn",
        r"ffn\.layers\.0\.0": "linear1",
        r"ffn\.layers\.1": "linear2",
        r"(encoder.*)norms\.0": r"\1norm1",
        r"(encoder.*)norms\.1": r"\1norm2",
        r"(decoder.*)norms\.0": r"\1norm2",
        r"(decoder.*)norms\.1": r"\1norm1",
        r"(decoder.*)norms\.2": r"\1norm3",
    }
    official = {}
    for name, value in mmdet_model.state_dict().items():
        for pattern, replacement in patterns.items():
            name = re.sub(rf"(?:^|(?<=\.)){pattern}", replacement, name)
        official[name] = value
    expected = convert_mmdet_deformable_detr(mmdet_model.state_dict()).state_dict
    actual = convert_deformable_detr(official).state_dict
    assert actual.keys() == {n for n in expected if not re.search(r"\.conv\.bias$", n)}
    for name, value in actual.items():
        assert value.equal(expected[name]), name


def test_plain_variant():
    """Without refinement one branch gives whole boxes, in pixels around points."""
    conversion = convert_deformable_detr(official_state(refine=False))
    _, missing = load(conversion)
    extra = [name for name in missing if not re.fullmatch(NEW, name)]
    assert extra and all(
        re.fullmatch(
            r"bbox_head\.reg_branches\.[12]\..*"
            r"|decoder\.layers\.[12]\.cross_attn\.sampling_offsets\..*",
            name,
        )
        for name in extra
    )
    noted = [e for e in conversion.left_out if "without box refinement" in e.note]
    assert len(noted) == len(extra)


# What learned queries and a first layer that starts from points are for.
ONE_STAGE = {
    "query_embedding.weight",
    "reference_points_fc.weight",
    "reference_points_fc.bias",
    "decoder.layers.0.cross_attn.sampling_offsets.weight",
    "decoder.layers.0.cross_attn.sampling_offsets.bias",
    *(
        f"bbox_head.reg_branches.0.{layer}.{part}"
        for layer in (0, 2, 4)
        for part in ("weight", "bias")
    ),
}


def test_two_stage_variant():
    dims = SIZES.dims
    shapes = released.detr(SIZES, "", ("",), True)
    shapes |= released.torchvision_resnet50("backbone.0.body.")
    shapes = {k: v for k, v in shapes.items() if "query_embed" not in k}
    shapes = {k: v for k, v in shapes.items() if "reference_points" not in k}
    for prefix in ("", "transformer.decoder."):
        for index in range(SIZES.decoder_layers + 1):
            shapes |= released.linear(f"{prefix}class_embed.{index}", dims, 80)
            shapes |= released.mlp(f"{prefix}bbox_embed.{index}", dims, 4)
    shapes |= released.linear("transformer.enc_output", dims, dims)
    shapes |= released.norm("transformer.enc_output_norm", dims)
    shapes |= released.linear("transformer.pos_trans", 2 * dims, 2 * dims)
    shapes |= released.norm("transformer.pos_trans_norm", 2 * dims)
    state = random_state(shapes)
    for name in state:
        state[name] = state[name.replace("transformer.decoder.bbox", "bbox")]
        state[name] = state[name.replace("transformer.decoder.class", "class")]
    _, missing = load(convert_deformable_detr(state))
    assert {name for name in missing if not re.fullmatch(NEW, name)} == ONE_STAGE


def test_two_stage_variant_of_mmdet():
    model = build_mmdet(as_two_stage=True)
    _, missing = load(convert_mmdet_deformable_detr(model.state_dict()))
    assert {name for name in missing if not re.fullmatch(NEW, name)} == ONE_STAGE


def test_names_of_mmdet_2_are_refused():
    name = "bbox_head.transformer.encoder.layers.0.attentions.0.value_proj.weight"
    with pytest.raises(DataError, match=re.escape(name)):
        convert_mmdet_deformable_detr({name: torch.zeros(1)})
