import numpy as np
import pytest
import torch
from mmcv.ops import MultiScaleDeformableAttention
from mmdet.registry import MODELS

from mmtaformer.models.layers.deformable_attention import neighbour_frames
from mmtaformer.models.structures import ClipFeatures, encoder_reference_points
from mmtaformer.utils.errors import UsageError

from ...helpers.loops import array, bilinear, linear, softmax

SHAPES = ((6, 8), (3, 4))
NUM_TOKENS = 60
DIMS = 16


def build(temporal_window=2, seed=0, **options):
    torch.manual_seed(seed)
    module = MODELS.build(
        dict(
            type="SpatioTemporalDeformableAttention",
            embed_dims=DIMS,
            num_heads=2,
            num_levels=2,
            num_points=3,
            temporal_window=temporal_window,
            num_temporal_points=2,
            **options,
        )
    )
    module.init_weights()
    for parameter in module.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return module.eval()


def references(batch=1):
    return encoder_reference_points(SHAPES, torch.ones(batch, 2, 2))


def features(tokens):
    """Features without encodings or padding."""
    return ClipFeatures(
        tokens=tokens,
        spatial_shapes=SHAPES,
        spatial_pos=torch.zeros(1, NUM_TOKENS, DIMS),
        temporal_pos=None,
        reference_points=references(len(tokens)),
        valid_ratios=torch.ones(len(tokens), 2, 2),
    )


@torch.no_grad()
def attend(module, tokens, **kwargs):
    return module(tokens, features(tokens), **kwargs)


def test_neighbour_frames():
    assert neighbour_frames(2) == (-2, -1, 1, 2)
    assert neighbour_frames(0) == ()


def test_spatial_half_is_mmcvs_attention():
    module = build(temporal_window=0)
    reference = MultiScaleDeformableAttention(DIMS, 2, 2, 3, batch_first=True).eval()
    reference.load_state_dict(module.state_dict(), strict=True)
    tokens = torch.randn(2, NUM_TOKENS, DIMS)
    shapes = torch.tensor(SHAPES)
    expected = reference(
        tokens,
        value=tokens,
        identity=torch.zeros_like(tokens),
        reference_points=references(2),
        spatial_shapes=shapes,
        level_start_index=torch.tensor([0, 48]),
    )
    actual = attend(module, tokens[:, None])[:, 0]
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("window", [1, 2])
def test_a_frame_depends_on_its_neighbours_only(window):
    module, num_frames = build(window), 8
    tokens = torch.randn(1, num_frames, NUM_TOKENS, DIMS)
    before = attend(module, tokens)
    for changed in range(num_frames):
        other = tokens.clone()
        other[:, changed] = torch.randn(NUM_TOKENS, DIMS)
        moved = (attend(module, other) - before).abs().amax(dim=(0, 2, 3)) > 0
        expected = [abs(t - changed) <= window for t in range(num_frames)]
        assert moved.tolist() == expected


def test_weights_at_clip_borders_sum_to_one_over_existing_frames():
    # With constant values and offsets of zero every sample gives the same number, so
    # the attention returns it only if its weights sum to one. Tokens on the border
    # of the fine level are left out: the coarse level is blended with zeros there.
    inside = torch.ones(SHAPES[0], dtype=torch.bool)
    inside[[0, -1]] = False
    inside[:, [0, -1]] = False
    inside = torch.cat([inside.flatten(), torch.ones(12, dtype=torch.bool)])
    module = build()
    for layer in (module.sampling_offsets, module.temporal_sampling_offsets):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    captured = []
    module.fusion.register_forward_pre_hook(lambda _, args: captured.append(args[1]))
    for num_frames in (2, 3, 9):
        query = torch.randn(1, num_frames, NUM_TOKENS, DIMS)
        value = torch.randn(DIMS).expand(1, num_frames, NUM_TOKENS, DIMS)
        with torch.no_grad():
            module(query, features(value))
            expected = module.output_proj(module.value_proj(value))
        torch.testing.assert_close(
            captured.pop()[:, :, inside], expected[:, :, inside], atol=1e-5, rtol=1e-5
        )


def test_single_frame_has_no_temporal_part():
    module = build()
    captured = []
    module.fusion.register_forward_pre_hook(lambda _, args: captured.append(args[1]))
    out = attend(module, torch.randn(2, 1, NUM_TOKENS, DIMS))
    assert out.isfinite().all()
    assert (captured[0] == 0).all()


def test_single_frame_can_be_the_spatial_attention():
    """As without a temporal half; longer clips are fused as before."""
    module, fused = build(lone_frame="spatial"), build()
    alone = build(temporal_window=0)
    alone.load_state_dict(module.state_dict(), strict=False)
    tokens = torch.randn(2, 1, NUM_TOKENS, DIMS)
    assert torch.equal(attend(module, tokens), attend(alone, tokens))
    assert not torch.allclose(attend(module, tokens), attend(fused, tokens), atol=0.01)
    several = torch.randn(2, 2, NUM_TOKENS, DIMS)
    assert torch.equal(attend(module, several), attend(fused, several))
    with pytest.raises(UsageError, match="lone_frame='zero'; give 'fuse' or 'spatial'"):
        build(lone_frame="zero")


@pytest.mark.parametrize("border", ["mask", "nearest"])
def test_frames_can_be_attended_one_at_a_time(border):
    module = build(border=border)
    tokens = torch.randn(1, 7, NUM_TOKENS, DIMS)
    whole = attend(module, tokens)
    for t in range(7):
        start = max(t - module.halo, 0)
        with torch.no_grad():
            single = module(
                tokens[:, t : t + 1],
                features(tokens[:, start : t + module.halo + 1]),
                first_frame=t - start,
            )
        torch.testing.assert_close(single, whole[:, t : t + 1], atol=1e-5, rtol=1e-5)


def neighbours_by_loops(module, query, tokens, frames_of):
    """T-MSDA of one clip, before the output projection: (T, S, C).

    Frame t samples the frames ``frames_of[t]``, the i-th by the i-th group of offsets
    and weights; the other groups do not count.
    """
    heads, levels, points = module.num_heads, module.num_levels, 2
    values = linear(module.value_proj, tokens)
    offsets = linear(module.temporal_sampling_offsets, query)
    offsets = offsets.reshape(*query.shape[:2], heads, -1, levels, points, 2)
    logits = linear(module.temporal_attention_weights, query)
    logits = logits.reshape(*query.shape[:2], heads, -1, levels * points)
    where = array(references())[0]
    size = DIMS // heads
    result = np.zeros_like(query)
    for t, n, head in np.ndindex(len(query), NUM_TOKENS, heads):
        others, channels = frames_of[t], slice(head * size, (head + 1) * size)
        weights = softmax(logits[t, n, head, : len(others)].flatten())
        for sample, weight in enumerate(weights):
            group, level, point = np.unravel_index(
                sample, (len(others), levels, points)
            )
            height, width = SHAPES[level]
            start = sum(h * w for h, w in SHAPES[:level])
            image = values[others[group], start : start + height * width, channels]
            x, y = where[n, level] + offsets[t, n, head, group, level, point] / (
                width,
                height,
            )
            sampled = bilinear(image.reshape(height, width, size), x, y)
            result[t, n, channels] += weight * sampled
    return result


NEAREST = {
    2: [[1], [0]],
    4: [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]],
    6: [
        [1, 2, 3, 4],
        [0, 2, 3, 4],
        [0, 1, 3, 4],
        [1, 2, 4, 5],
        [1, 2, 3, 5],
        [1, 2, 3, 4],
    ],
}


@pytest.mark.parametrize("num_frames", NEAREST)
@torch.no_grad()
def test_border_frames_can_sample_the_nearest_frames(num_frames):
    module = build(border="nearest", fusion=dict(type="AdditionFusion"))
    alone = build(temporal_window=0)
    alone.load_state_dict(module.state_dict(), strict=False)
    tokens = torch.randn(1, num_frames, NUM_TOKENS, DIMS)
    inter = attend(module, tokens) - attend(alone, tokens)
    sampled = neighbours_by_loops(
        module, array(tokens[0]), array(tokens[0]), NEAREST[num_frames]
    )
    expected = linear(module.output_proj, sampled)
    np.testing.assert_allclose(array(inter[0]), expected, atol=1e-4)


def test_frames_inside_sample_the_same_whatever_the_border():
    tokens = torch.randn(1, 7, NUM_TOKENS, DIMS)
    masked, nearest = (attend(build(border=b), tokens) for b in ("mask", "nearest"))
    torch.testing.assert_close(nearest[:, 2:5], masked[:, 2:5], atol=1e-5, rtol=1e-5)
    different = (nearest - masked).abs().amax(dim=(0, 2, 3)) > 1e-3
    assert different.tolist() == [True, True, False, False, False, True, True]
    with pytest.raises(UsageError, match="border='wrap'; give 'mask' or 'nearest'"):
        build(border="wrap")


def test_nearest_frames_train_every_group_of_offsets_at_the_border():
    """Masked frames get no gradient from the first frame; nearest ones do."""
    for border, groups in (("mask", [2, 3]), ("nearest", [0, 1, 2, 3])):
        module = build(border=border)
        tokens = torch.randn(1, 5, NUM_TOKENS, DIMS)
        module(tokens, features(tokens))[:, 0].square().sum().backward()
        # (M, R, L, K)
        gradient = module.temporal_attention_weights.bias.grad.view(2, 4, 2, 2)
        assert gradient.abs().amax(dim=(0, 2, 3)).nonzero().flatten().tolist() == groups


@pytest.mark.parametrize(
    "option", ["dropout", "im2col_step", "batch_first", "norm_cfg", "value_proj_ratio"]
)
@pytest.mark.parametrize(
    "name", ["SpatioTemporalDeformableAttention", "QueryDecomposedCrossAttention"]
)
def test_arguments_that_would_do_nothing_are_refused(name, option):
    with pytest.raises(TypeError, match=option):
        MODELS.build(dict(type=name, embed_dims=DIMS, num_heads=2, **{option: 1}))


def test_parameters_have_deformable_detrs_names():
    module = MODELS.build(dict(type="QueryDecomposedCrossAttention"))
    layers = {name.rpartition(".")[0] for name in module.state_dict()}
    expected = {"sampling_offsets", "attention_weights", "value_proj", "output_proj"}
    assert layers == expected | {"output_proj_box"}
    mmcvs = MultiScaleDeformableAttention()
    assert {n: p.shape for n, p in mmcvs.state_dict().items()}.items() <= {
        n: p.shape for n, p in module.state_dict().items()
    }.items()
