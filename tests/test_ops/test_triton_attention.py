"""The Triton operator: on a GPU where there is one, else in Triton's interpreter.

The interpreter takes some 20 ms for a sample of a block of queries, so cases are tiny.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmtaformer.models.layers.recomputation import recomputed
from mmtaformer.ops import spatio_temporal_deformable_attention, triton_attention
from mmtaformer.utils.errors import DataError

from ..helpers.golden import load_golden
from .attention_cases import Case, attention_by_loops, make_case

pytest.importorskip("triton")

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
pytestmark = [
    pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning"),
]
CLOSE = dict(atol=3e-6, rtol=0)
SMALL = dict(
    clips=1, value_frames=2, queries=3, heads=1, channels=8, points=1, frames=None
)
CASES = {
    "spatial": dict(clips=2, value_frames=1, points=2, heads=2),
    "temporal, borders of the clip": dict(relative_frames=(-1, 1), value_frames=3),
    "temporal boxes": dict(relative_frames=(-1, 1), coordinates=4, points=2),
    "decoder": dict(coordinates=4, value_frames=1, heads=2, channels=32),
    "halo": dict(relative_frames=(-1, 1), value_frames=3, frames=1, first_frame=1),
    "queries beyond the values": dict(
        relative_frames=(-2, 0), value_frames=1, frames=2, first_frame=1
    ),
    "odd sizes": dict(
        value_frames=1, queries=5, channels=13, points=3, spatial_shapes=((3, 5),)
    ),
    "one pixel": dict(value_frames=1, spatial_shapes=((1, 1), (1, 2))),
    "16 channels": dict(value_frames=1, channels=16),
    "64 channels, several blocks": dict(value_frames=1, channels=64, queries=17),
}


def make_small(dtype: torch.dtype = torch.float64, **options) -> Case:
    return make_case(**{**SMALL, **options}, dtype=dtype)


def on_device(case: Case) -> Case:
    value, references, offsets, logits = (t.to(DEVICE) for t in case.tensors)
    return case._replace(
        value=value,
        reference_points=references,
        sampling_offsets=offsets,
        attention_logits=logits,
    )


def arguments(case: Case) -> tuple:
    sizes = [size for shape in case.spatial_shapes for size in shape]
    return (*case.tensors, sizes, list(case.relative_frames), case.first_frame)


def triton(case: Case) -> Tensor:
    return triton_attention.attention(*arguments(case))[0]


def gradients(output: Tensor, case: Case) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(output.shape, generator=generator, dtype=torch.float64)
    return torch.autograd.grad(output, case.tensors, weight.to(output))


def with_gradients(function, case: Case) -> tuple[Tensor, ...]:
    """Output and the four gradients, on the CPU."""
    case = case.with_grad()
    output = function(case)
    return tuple(tensor.cpu() for tensor in (output, *gradients(output, case)))


def reference(case: Case) -> Tensor:
    """The CPU operator in float64, which other tests compare with loops and mmcv."""
    return spatio_temporal_deformable_attention(*case)


@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_equals_the_definition_and_the_gradients_of_the_cpu(options):
    case = make_small(**options)
    expected = with_gradients(reference, case)
    torch.testing.assert_close(expected[0], attention_by_loops(case))
    actual = with_gradients(triton, on_device(case.to(torch.float32)))
    for ours, theirs in zip(actual, expected, strict=True):
        assert ours.dtype == torch.float32
        scale = max(theirs.abs().max().item(), 1.0)
        torch.testing.assert_close(ours / scale, (theirs / scale).float(), **CLOSE)


def test_gradients_equal_finite_differences_of_the_loops():
    case = make_small(
        relative_frames=(-1, 0), queries=1, channels=2, coordinates=4, points=1
    )
    actual = with_gradients(triton, on_device(case.to(torch.float32)))[1:]
    generator = torch.Generator().manual_seed(1)
    output = attention_by_loops(case)
    weight = torch.randn(output.shape, generator=generator, dtype=torch.float64)

    def loss() -> float:
        return (attention_by_loops(case) * weight).sum().item()

    step = 1e-6
    for tensor, gradient in zip(case.tensors, actual, strict=True):
        numbers = tensor.view(-1)
        for index in torch.linspace(0, len(numbers) - 1, 8).long().unique().tolist():
            kept = numbers[index].item()
            sides = []
            for number in (kept + step, kept - step):
                numbers[index] = number
                sides.append(loss())
            numbers[index] = kept
            expected = (sides[0] - sides[1]) / (2 * step)
            assert gradient.view(-1)[index].item() == pytest.approx(
                expected, rel=1e-4, abs=1e-5
            )


@pytest.mark.parametrize("part", ["intra", "inter"])
def test_equals_the_golden_file(part):
    """One clip of equations 1 and 2, from the features to the output projection."""
    meta, arrays = load_golden("stj_msda.npz", "MMTAFORMER_GOLDEN_STJ")
    data = {name: torch.from_numpy(array) for name, array in arrays.items()}
    prefix = "" if part == "intra" else "temporal_"
    relatives = (0,) if part == "intra" else tuple(meta["relative_frames"])

    def project(name: str, features: Tensor) -> Tensor:
        return F.linear(features, data[f"sd/{name}.weight"], data[f"sd/{name}.bias"])

    features, query = data["in/x"][:1], (data["in/x"] + data["in/pos"])[:1]
    value = project("value_proj", features)
    value = value.masked_fill(data["in/padding_mask"][:1, None, :, None], 0)
    heads, shapes = meta["num_heads"], meta["spatial_shapes"]
    sampled = (heads, len(relatives), len(shapes), -1)
    references = data["in/reference_points"][:1, None]
    case = Case(
        value.unflatten(-1, (heads, -1)),
        shapes,
        references.expand(-1, query.shape[1], -1, -1, -1),
        project(f"{prefix}sampling_offsets", query).unflatten(-1, (*sampled, 2)),
        project(f"{prefix}attention_weights", query).unflatten(-1, sampled),
        relatives,
        0,
    )
    output = triton(on_device(case.to(torch.float32))).cpu().double()
    expected = data[f"out/{part}"][:1]
    torch.testing.assert_close(
        project("output_proj", output), expected, atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_read_as_it_is_and_computed_in_float32(dtype):
    case = make_small(relative_frames=(-1, 1), channels=32, coordinates=4).to(dtype)
    actual = with_gradients(triton, on_device(case))
    expected = with_gradients(reference, case.to(torch.float64))
    for ours, theirs in zip(actual, expected, strict=True):
        assert ours.dtype == dtype
        scale = theirs.abs().max()
        bound = 2 * torch.finfo(dtype).eps * scale
        assert (ours.double() - theirs).abs().max() <= bound


def test_positions_are_float32_beside_half_values():
    """As under autocast: what comes out of projections is half, references are not."""
    case = make_small(torch.float32, value_frames=1, spatial_shapes=((40, 80), (1, 1)))
    mixed = case._replace(
        value=case.value.bfloat16(), attention_logits=case.attention_logits.bfloat16()
    )
    output = triton(on_device(mixed)).cpu()
    assert output.dtype == torch.bfloat16
    expected = reference(mixed.to(torch.float64))
    torch.testing.assert_close(output, expected.bfloat16(), atol=1e-2, rtol=1e-2)
    rounded = mixed._replace(reference_points=mixed.reference_points.bfloat16())
    wrong = reference(rounded.to(torch.float64))
    assert (output - expected).abs().max() < 0.1 * (wrong - expected).abs().max()


def test_strides_do_not_matter():
    case = make_small(torch.float32, relative_frames=(0, 1), coordinates=4, heads=2)
    references = case.reference_points.narrow(2, 0, 1).narrow(3, 0, 1)
    case = case._replace(reference_points=references.expand_as(case.reference_points))
    expected = with_gradients(triton, on_device(case))
    value, expanded, offsets, logits = on_device(case).tensors
    swapped = on_device(case)._replace(
        value=value.transpose(2, 3).contiguous().transpose(2, 3),
        reference_points=expanded.transpose(-1, -2).contiguous().transpose(-1, -2),
        sampling_offsets=offsets.transpose(2, 3).contiguous().transpose(2, 3),
        attention_logits=torch.stack([logits, logits], -1)[..., 0],
    )
    for ours, theirs in zip(with_gradients(triton, swapped), expected, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("empty", [dict(clips=0), dict(queries=0)], ids=str)
def test_nothing_to_do(empty):
    case = make_small(torch.float32, relative_frames=(-1, 1), **empty)
    for ours, like in zip(
        with_gradients(triton, on_device(case)),
        (reference(case), *case.tensors),
        strict=True,
    ):
        assert ours.shape == like.shape and not ours.any()


def test_single_frame_has_no_neighbours():
    case = make_small(torch.float32, relative_frames=(-1, 1), value_frames=1)
    for deterministic in (False, True):
        torch.use_deterministic_algorithms(deterministic)
        try:
            results = with_gradients(triton, on_device(case))
        finally:
            torch.use_deterministic_algorithms(False)
        assert not any(tensor.any() for tensor in results)


@pytest.mark.parametrize("offset", [float("nan"), -float("inf"), 1e30])
def test_samples_far_away_are_zero(offset):
    case = make_small(torch.float32, value_frames=1)
    case.sampling_offsets.fill_(offset)
    results = with_gradients(triton, on_device(case))
    assert not any(tensor.any() for tensor in results)


def test_not_a_number_stays_visible_and_local():
    case = make_small(torch.float32, value_frames=1)
    expected = triton(on_device(case))
    case.attention_logits[0, 0, 1] = float("nan")
    output = triton(on_device(case))
    assert output[0, 0, 1].isnan().all()
    assert torch.equal(output[:, :, ::2], expected[:, :, ::2])


class TestDeterministic:
    @pytest.fixture(autouse=True)
    def _deterministic(self):
        torch.use_deterministic_algorithms(True)
        yield
        torch.use_deterministic_algorithms(False)

    @pytest.mark.parametrize("scale", [1.0, 1e-20, 1e20])
    def test_gradients_of_values_are_right_at_any_scale(self, scale):
        case = make_small(relative_frames=(-1, 1), queries=5, heads=1)
        _, expected, *_ = with_gradients(reference, case)
        single = on_device(case.to(torch.float32)).with_grad()
        output = triton(single) * scale
        actual = gradients(output, single)[0].cpu().double() / scale
        torch.testing.assert_close(actual, expected, atol=1e-6, rtol=1e-5)

    def test_order_of_queries_does_not_matter(self):
        """Integers give the same sum in any order; a run on a GPU is another order."""
        case = make_small(torch.float32, value_frames=1, queries=70, heads=1)
        weight = torch.randn(1, 1, 70, 8, generator=torch.Generator().manual_seed(1))
        order = torch.randperm(70, generator=torch.Generator().manual_seed(2))
        results = []
        for index in (torch.arange(70), order):
            shuffled = on_device(
                case._replace(
                    reference_points=case.reference_points[:, :, index],
                    sampling_offsets=case.sampling_offsets[:, :, index],
                    attention_logits=case.attention_logits[:, :, index],
                )
            ).with_grad()
            loss = (triton(shuffled) * weight[:, :, index].to(DEVICE)).sum()
            results.append(torch.autograd.grad(loss, shuffled.value)[0])
        assert torch.equal(*results)

    def test_what_is_not_finite_shows(self):
        case = make_small(torch.float32, value_frames=1).with_grad()
        case = on_device(case)
        gradient = torch.full((1, 1, 3, 8), float("inf"), device=DEVICE)
        value = torch.autograd.grad(triton(case), case.value, gradient)[0]
        assert value.isnan().all()


def test_is_a_well_formed_operator():
    case = make_small(
        torch.float32,
        relative_frames=(-1,),
        coordinates=4,
        queries=1,
        spatial_shapes=((2, 2),),
    )
    case = on_device(case).with_grad()
    torch.library.opcheck(triton_attention.attention, arguments(case))


def test_compiles_and_exports_as_one_graph(monkeypatch):
    monkeypatch.setenv("MMTAFORMER_ATTENTION_BACKEND", "triton")
    case = make_small(
        torch.float32, relative_frames=(-1, 1), spatial_shapes=((2, 2),), queries=2
    )
    case = on_device(case)

    class Attention(torch.nn.Module):
        def forward(self, *tensors: Tensor) -> Tensor:
            return spatio_temporal_deformable_attention(
                tensors[0], case.spatial_shapes, *tensors[1:], case.relative_frames
            )

    expected = with_gradients(triton, case)
    compiled = torch.compile(Attention(), fullgraph=True, backend="aot_eager")
    actual = with_gradients(lambda case: compiled(*case.tensors), case)
    for ours, theirs in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    program = torch.export.export(Attention(), case.tensors)
    targets = [str(node.target) for node in program.graph.nodes]
    assert "mmtaformer.triton_deformable_attention.default" in targets
    torch.testing.assert_close(program.module()(*case.tensors).cpu(), expected[0])


def test_saves_its_output_and_the_log_sum_alone():
    case = on_device(make_small(torch.float32, value_frames=1)).with_grad()
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: saved.append(tensor) or tensor, lambda tensor: tensor
    ):
        output = triton(case)
    known = {tensor.data_ptr() for tensor in (*case.tensors, output)}
    others = [tensor.shape for tensor in saved if tensor.data_ptr() not in known]
    assert others == [case.attention_logits.shape[:4]]


def test_reference_gradient_only_where_it_is_needed():
    case = on_device(make_small(torch.float32, value_frames=1)).with_grad()
    case.reference_points.requires_grad_(False)
    triton(case).sum().backward()
    assert case.reference_points.grad is None
    assert case.sampling_offsets.grad.any()


def test_too_large_for_one_launch(monkeypatch):
    case = on_device(make_small(torch.float32))
    monkeypatch.setattr(triton_attention, "_LARGEST_GRID", 1)
    with pytest.raises(DataError, match="use shorter clips"):
        triton(case)
    monkeypatch.setattr(triton_attention, "_LARGEST_FRAME", 10)
    with pytest.raises(DataError, match="use smaller images"):
        triton(case)


def test_recomputation_keeps_what_was_sampled(monkeypatch):
    from mmtaformer.ops import triton_kernels

    kernel, launches = triton_kernels.forward_kernel, []

    class Counted:
        def __getitem__(self, grid):
            launches.append(grid)
            return kernel[grid]

    monkeypatch.setattr(triton_kernels, "forward_kernel", Counted())
    case = on_device(make_small(torch.float32, value_frames=1)).with_grad()

    def function(value: Tensor) -> Tensor:
        return triton(case._replace(value=2 * value))

    recomputed(function, case.value).sum().backward()
    assert len(launches) == 1
    expected = torch.autograd.grad(function(case.value).sum(), case.value)[0]
    torch.testing.assert_close(case.value.grad, expected)
