"""The CUDA branch against a stand-in that refuses what mmcv's kernel refuses."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmtaformer.ops import cuda_attention, spatio_temporal_deformable_attention
from mmtaformer.ops.composed_attention import composed_attention

from .attention_cases import Case, make_case


class StandIn:
    """mmcv's ``ms_deform_attn`` extension on the CPU.

    The checks are those of mmcv's C++ and CUDA sources: contiguous tensors of one
    dtype of AT_DISPATCH_FLOATING_TYPES_AND_HALF, int64 levels, a batch that
    min(batch, im2col_step) divides, and offsets that fit an ``int``.
    """

    def __init__(self) -> None:
        self.largest_index = 2**31 - 1
        self.calls = 0

    def ms_deform_attn_forward(
        self,
        value: Tensor,
        spatial_shapes: Tensor,
        level_start_index: Tensor,
        sampling_locations: Tensor,
        attention_weights: Tensor,
        im2col_step: int,
    ) -> Tensor:
        floating = (value, sampling_locations, attention_weights)
        self._check(floating, (spatial_shapes, level_start_index), im2col_step)
        output = _sample(
            value,
            spatial_shapes,
            level_start_index,
            sampling_locations,
            attention_weights,
        )
        self._check_size(output)
        return output

    def ms_deform_attn_backward(
        self,
        value: Tensor,
        spatial_shapes: Tensor,
        level_start_index: Tensor,
        sampling_locations: Tensor,
        attention_weights: Tensor,
        grad_output: Tensor,
        grad_value: Tensor,
        grad_sampling_loc: Tensor,
        grad_attn_weight: Tensor,
        im2col_step: int,
    ) -> None:
        floating = (value, sampling_locations, attention_weights)
        grads = (grad_value, grad_sampling_loc, grad_attn_weight)
        levels = (spatial_shapes, level_start_index)
        self._check((*floating, grad_output, *grads), levels, im2col_step)

        def compute() -> tuple[Tensor, ...]:
            inputs = [tensor.detach().requires_grad_() for tensor in floating]
            output = _sample(inputs[0], *levels, *inputs[1:])
            return torch.autograd.grad(output, inputs, grad_output)

        # Autograd is off inside an operator, but only for the operator's thread.
        with ThreadPoolExecutor(1) as executor:
            results = executor.submit(compute).result()
        for target, result in zip(grads, results, strict=True):
            target += result

    def _check(
        self,
        floating: tuple[Tensor, ...],
        levels: tuple[Tensor, ...],
        im2col_step: int,
    ) -> None:
        self.calls += 1
        for tensor in (*floating, *levels):
            if not tensor.is_contiguous():
                raise RuntimeError("tensor has to be contiguous")
        if any(tensor.dtype != torch.int64 for tensor in levels):
            raise RuntimeError("expected scalar type Long")
        dtype = floating[0].dtype
        if dtype not in (torch.float16, torch.float32, torch.float64):
            raise RuntimeError(f"not implemented for {dtype}")
        if any(tensor.dtype != dtype for tensor in floating):
            raise RuntimeError(f"expected scalar type {dtype}")
        batch = floating[0].shape[0]
        step = min(batch, im2col_step)
        if batch % step:
            raise RuntimeError(f"batch({batch}) must divide im2col_step({step})")
        for tensor in floating:
            self._check_size(tensor)

    def _check_size(self, tensor: Tensor) -> None:
        if tensor.numel() > self.largest_index:
            raise RuntimeError("an illegal memory access was encountered")


def _sample(
    value: Tensor, shapes: Tensor, starts: Tensor, locations: Tensor, weights: Tensor
) -> Tensor:
    batch, _, heads, channels = value.shape
    result = 0
    for level, (height, width) in enumerate(shapes.tolist()):
        start = int(starts[level])
        image = value[:, start : start + height * width].permute(0, 2, 3, 1)
        image = image.reshape(batch * heads, channels, height, width)
        grid = locations[:, :, :, level].transpose(1, 2).flatten(0, 1)
        sampled = F.grid_sample(image, 2 * grid - 1, align_corners=False)
        scale = weights[:, :, :, level].transpose(1, 2).flatten(0, 1)
        result = result + (sampled * scale[:, None]).sum(-1)
    return result.view(batch, heads * channels, -1).transpose(1, 2).contiguous()


@pytest.fixture
def stand_in(monkeypatch) -> StandIn:
    extension = StandIn()
    monkeypatch.setattr(cuda_attention, "_extension", lambda: extension)
    return extension


def cuda_branch(case: Case) -> Tensor:
    return composed_attention(*case, cuda_attention.multi_scale_attention)


def check_against_cpu(case: Case, tolerance: float) -> None:
    case = case.with_grad()
    results = []
    for function in (cuda_branch, lambda c: spatio_temporal_deformable_attention(*c)):
        output = function(case)
        gradients = torch.autograd.grad(output.float().square().sum(), case.tensors)
        results.append((output, *gradients))
    for actual, expected in zip(*results, strict=True):
        assert actual.dtype == expected.dtype
        scale = expected.float().abs().max()
        difference = (actual.float() - expected.float()).abs().max()
        assert difference <= tolerance * scale


@pytest.mark.parametrize(
    "options",
    [
        dict(),
        dict(relative_frames=(-2, -1, 1, 2), value_frames=4),
        dict(coordinates=4, queries=3),
        dict(relative_frames=(-1, 1), value_frames=4, frames=2, first_frame=1),
    ],
)
@pytest.mark.parametrize(
    "dtype, tolerance",
    [
        (torch.float64, 1e-6),
        (torch.float32, 1e-5),
        (torch.float16, 5e-3),
        (torch.bfloat16, 4e-2),
    ],
)
def test_equals_the_cpu(stand_in, options, dtype, tolerance):
    # Half precision puts samples on pixel centres, where the gradient jumps; with
    # powers of two nobody's rounding decides on which side they are.
    shapes = ((4, 8), (2, 4))
    case = make_case(**options, spatial_shapes=shapes, dtype=dtype)
    check_against_cpu(case, tolerance)
    assert stand_in.calls


@pytest.mark.parametrize("clips, frames", [(1, 71), (1, 1), (2, 67), (5, 13)])
def test_any_number_of_frames(stand_in, clips, frames):
    case = make_case(
        relative_frames=(-1, 1),
        clips=clips,
        value_frames=frames + 1,
        frames=frames,
        queries=2,
    )
    check_against_cpu(case, 1e-6)


def test_expanded_references_and_views(stand_in):
    case = make_case()
    references = case.reference_points[:1, :1].expand_as(case.reference_points)
    value = torch.cat([case.value, case.value], -1)[..., : case.value.shape[-1]]
    check_against_cpu(case._replace(reference_points=references, value=value), 1e-6)


def test_compiles_as_one_graph(stand_in):
    case = make_case(relative_frames=(-1, 1)).with_grad()
    compiled = torch.compile(cuda_branch, fullgraph=True, backend="aot_eager")
    results = []
    for function in (compiled, cuda_branch):
        output = function(case)
        results.append([output, *torch.autograd.grad(output.sum(), case.tensors)])
    for actual, expected in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected)


def test_large_batches_are_split(stand_in, monkeypatch):
    case = make_case(clips=1, value_frames=7)
    largest = max(tensor[0, 0].numel() for tensor in case.tensors)
    stand_in.largest_index = 3 * largest
    with pytest.raises(RuntimeError, match="illegal memory access"):
        cuda_branch(case)
    monkeypatch.setattr(cuda_attention, "_LARGEST_SIZE", 3 * largest)
    stand_in.calls = 0
    check_against_cpu(case, 1e-6)
    assert stand_in.calls == 2 * 3  # forward and backward of 3 + 3 + 1 frames


def test_frame_that_exceeds_the_index_range(stand_in, monkeypatch):
    monkeypatch.setattr(cuda_attention, "_LARGEST_SIZE", 10)
    with pytest.raises(ValueError, match="use smaller images"):
        cuda_branch(make_case())


def test_is_a_well_formed_operator(stand_in):
    generator = torch.Generator().manual_seed(0)
    value = torch.randn(3, 30, 2, 5, generator=generator, requires_grad=True)
    locations = torch.rand(3, 7, 2, 2, 3, 2, generator=generator, requires_grad=True)
    weights = torch.rand(3, 7, 2, 2, 3, generator=generator, requires_grad=True)
    torch.library.opcheck(
        cuda_attention._attention, (value, [4, 6, 2, 3], locations, weights)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_real_kernel(dtype):
    case = make_case(relative_frames=(-2, -1, 1, 2), value_frames=71, clips=1)
    case = case.to(dtype)
    on_cuda = case._replace(
        value=case.value.cuda(),
        reference_points=case.reference_points.cuda(),
        sampling_offsets=case.sampling_offsets.cuda(),
        attention_logits=case.attention_logits.cuda(),
    )
    tolerance = 1e-5 if dtype == torch.float32 else 1e-2
    torch.testing.assert_close(
        spatio_temporal_deformable_attention(*on_cuda).cpu(),
        spatio_temporal_deformable_attention(*case),
        atol=tolerance,
        rtol=tolerance,
    )
