import pytest
import torch

from mmtaformer.ops import spatio_temporal_deformable_attention
from mmtaformer.ops.composed_attention import composed_attention
from mmtaformer.ops.cpu_attention import attention
from mmtaformer.ops.grid_sample_attention import multi_scale_attention

from .attention_cases import Case, attention_by_loops, attention_by_mmcv, make_case

CASES = {
    "spatial": dict(),
    "temporal": dict(relative_frames=(-2, -1, 1, 2), value_frames=4),
    "temporal boxes": dict(relative_frames=(-1, 1), coordinates=4),
    "decoder": dict(coordinates=4, queries=3, heads=3, channels=32),
    "frames with halo": dict(
        relative_frames=(-1, 1), value_frames=4, frames=2, first_frame=1
    ),
    "queries beyond the values": dict(
        relative_frames=(-2, 0), value_frames=2, frames=3, first_frame=1
    ),
    "odd channels": dict(channels=43, points=1),
    "one level": dict(spatial_shapes=((3, 2),), points=9),
    # So many samples that the values are transposed first.
    "dense": dict(relative_frames=(-1, 1), clips=1, value_frames=2, queries=100),
}
BACKENDS = {
    "fused": spatio_temporal_deformable_attention,
    "composed": lambda *case: composed_attention(*case, multi_scale_attention),
}


def gradients(output: torch.Tensor, case: Case) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(output.shape, generator=generator, dtype=torch.float64)
    return torch.autograd.grad(output, case.tensors, weight.to(output.dtype))


@pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_equals_the_definition(options, backend):
    case = make_case(**options)
    torch.testing.assert_close(backend(*case), attention_by_loops(case))
    single = case.to(torch.float32)
    torch.testing.assert_close(
        backend(*single), attention_by_loops(case).float(), atol=2e-6, rtol=1e-5
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("name", [name for name in CASES if "beyond" not in name])
def test_gradients_equal_those_of_mmcv(name, dtype):
    case = make_case(**CASES[name], dtype=dtype).with_grad()
    actual = gradients(spatio_temporal_deformable_attention(*case), case)
    expected = gradients(attention_by_mmcv(case), case)
    tolerance = 1e-10 if dtype == torch.float64 else 2e-4
    for ours, theirs in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=tolerance)


def test_equals_mmcv_at_the_size_of_a_video():
    shapes = ((45, 80), (23, 40), (12, 20), (6, 10))
    case = make_case(
        clips=1,
        value_frames=1,
        queries=500,
        heads=8,
        channels=32,
        points=4,
        spatial_shapes=shapes,
        dtype=torch.float32,
    )
    difference = spatio_temporal_deformable_attention(*case) - attention_by_mmcv(case)
    assert difference.abs().max() < 1e-5


@pytest.mark.parametrize("coordinates", [2, 4])
def test_gradcheck(coordinates):
    case = make_case(
        relative_frames=(-1, 0),
        clips=1,
        value_frames=2,
        queries=2,
        channels=3,
        points=2,
        coordinates=coordinates,
        spatial_shapes=((3, 2), (1, 2)),
    ).with_grad()

    def function(*tensors: torch.Tensor) -> torch.Tensor:
        value, references, offsets, logits = tensors
        return spatio_temporal_deformable_attention(
            value, case.spatial_shapes, references, offsets, logits, (-1, 0)
        )

    assert torch.autograd.gradcheck(function, case.tensors)


@pytest.mark.parametrize("name", ["spatial", "temporal boxes", "dense"])
def test_is_a_well_formed_operator(name):
    case = make_case(**CASES[name], dtype=torch.float32).with_grad()
    sizes = [size for shape in case.spatial_shapes for size in shape]
    torch.library.opcheck(
        attention, (*case.tensors, sizes, list(case.relative_frames), 0)
    )


@pytest.mark.parametrize("name", ["temporal", "decoder", "dense"])
def test_compiles_as_one_graph(name):
    case = make_case(**CASES[name], dtype=torch.float32).with_grad()
    compiled = torch.compile(
        spatio_temporal_deformable_attention, fullgraph=True, backend="aot_eager"
    )
    output, expected = compiled(*case), spatio_temporal_deformable_attention(*case)
    torch.testing.assert_close(output, expected)
    for ours, theirs in zip(
        gradients(output, case), gradients(expected, case), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
def test_single_frame_has_no_neighbours(backend):
    case = make_case(relative_frames=(-2, -1, 1, 2), value_frames=1).with_grad()
    output = backend(*case)
    assert torch.equal(output, torch.zeros_like(output))
    if output.requires_grad:
        for gradient in torch.autograd.grad(
            output.sum(), case.tensors, allow_unused=True
        ):
            assert gradient is None or not gradient.any()


@pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
def test_slices_with_halo_equal_the_whole(backend):
    case = make_case(relative_frames=(-2, -1, 1, 2), value_frames=6)
    whole = backend(*case)
    value, _, references, offsets, logits, *_ = case
    for start in range(0, 6, 2):
        halo = max(start - 2, 0)
        part = backend(
            value[:, halo : start + 4],
            case.spatial_shapes,
            references[:, start : start + 2],
            offsets[:, start : start + 2],
            logits[:, start : start + 2],
            case.relative_frames,
            start - halo,
        )
        assert torch.equal(part, whole[:, start : start + 2])


@pytest.mark.parametrize("kept", ["", "b", "t", "q", "l", "bq"])
def test_expanded_references(kept):
    case = make_case(relative_frames=(-1, 1), coordinates=4)
    references = case.reference_points
    for dim, name in enumerate("btql"):
        if name not in kept:
            references = references.narrow(dim, 0, 1)
    expanded = references.expand(case.reference_points.shape)
    copied = case._replace(reference_points=expanded.contiguous())
    actual = spatio_temporal_deformable_attention(
        *case._replace(reference_points=expanded)
    )
    torch.testing.assert_close(actual, attention_by_loops(copied))


@pytest.mark.parametrize("name", ["temporal", "dense"])
def test_value_may_be_any_view(name):
    case = make_case(**CASES[name])
    expected = spatio_temporal_deformable_attention(*case)
    heads_first = case.value.transpose(2, 3).contiguous().transpose(2, 3)
    padded = torch.cat([case.value, case.value], -1)[..., : case.value.shape[-1]]
    reversed_memory = case.value.permute(4, 3, 2, 1, 0).contiguous()
    for value in (heads_first, padded, reversed_memory.permute(4, 3, 2, 1, 0)):
        actual = spatio_temporal_deformable_attention(*case._replace(value=value))
        assert torch.equal(actual, expected)


@pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_is_computed_in_float32(dtype, backend):
    shapes = ((4, 8), (2, 4))  # no rounding where samples hit pixel centres
    half = make_case(relative_frames=(-1, 1), channels=32, spatial_shapes=shapes)
    half = half.to(dtype).with_grad()
    single = half.to(torch.float32)
    output, expected = backend(*half), attention_by_mmcv(single)
    assert output.dtype == dtype
    torch.testing.assert_close(output, expected.to(dtype))
    actual = gradients(output, half)
    # The backward pass of the fused kernels starts from the rounded output.
    for ours, theirs in zip(actual, gradients(expected, half), strict=True):
        assert ours.dtype == dtype
        scale = theirs.float().abs().max()
        assert (ours.float() - theirs.float()).abs().max() < 0.02 * scale


def test_mixed_precision_as_under_autocast():
    case = make_case(dtype=torch.float32)
    mixed = case._replace(
        value=case.value.bfloat16(), sampling_offsets=case.sampling_offsets.bfloat16()
    )
    single = mixed.to(torch.float32)
    output = spatio_temporal_deformable_attention(*mixed)
    torch.testing.assert_close(output, attention_by_mmcv(single).bfloat16())


def test_only_inputs_and_output_are_saved():
    case = make_case(relative_frames=(-1, 1), coordinates=4).with_grad()
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: saved.append(tensor) or tensor, lambda tensor: tensor
    ):
        output = spatio_temporal_deformable_attention(*case)
    known = {tensor.data_ptr() for tensor in (*case.tensors, output)}
    others = [tensor for tensor in saved if tensor.data_ptr() not in known]
    # One number per query and head beside them, the softmax denominator.
    assert sum(tensor.numel() for tensor in others) <= output[..., :2].numel()


def test_reference_gradient_only_where_it_is_needed():
    case = make_case(coordinates=4).with_grad()
    case.reference_points.requires_grad_(False)
    spatio_temporal_deformable_attention(*case).sum().backward()
    assert case.reference_points.grad is None
    assert case.sampling_offsets.grad.any()


def test_not_a_number_stays_visible_and_local():
    case = make_case(clips=1, value_frames=1)
    expected = spatio_temporal_deformable_attention(*case)
    case.attention_logits[0, 0, 2] = float("nan")
    output = spatio_temporal_deformable_attention(*case)
    assert output[0, 0, 2].isnan().all()
    others = [0, 1, 3, 4, 5, 6]
    assert torch.equal(output[:, :, others], expected[:, :, others])


@pytest.mark.parametrize("offset", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_samples_far_away_are_zero(offset):
    case = make_case().with_grad()
    case.sampling_offsets.detach().fill_(offset)
    output = spatio_temporal_deformable_attention(*case)
    assert not output.any()
    assert not any(gradient.any() for gradient in gradients(output, case))


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(spatial_shapes=((4, 6), (2, 4))), "value has shape .* 32"),
        (dict(spatial_shapes=((30, 1),)), "2 levels, but"),
        (dict(relative_frames=(0, 1)), "1 relative frames"),
        (dict(reference_points=torch.rand(2, 3, 7, 2, 3)), "must end in 2"),
        (dict(reference_points=torch.rand(2, 3, 7, 2)), "reference_points has shape"),
        (dict(sampling_offsets=torch.rand(2, 3, 7, 2, 1, 2, 3)), "sampling_offsets"),
        (dict(value=torch.rand(2, 3, 30, 10)), "value must be"),
        (dict(value=torch.ones(2, 3, 30, 2, 5).int()), "floating point"),
    ],
)
def test_contradicting_arguments(changes, message):
    with pytest.raises(ValueError, match=message):
        spatio_temporal_deformable_attention(*make_case()._replace(**changes))
