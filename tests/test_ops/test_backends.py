import subprocess
import sys

import pytest
import torch
from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch
from mmengine.registry import DefaultScope

from mmtaformer.ops import (
    backends,
    grid_sample_attention,
    set_attention_backend,
    spatio_temporal_deformable_attention,
)
from mmtaformer.ops.composed_attention import composed_attention
from mmtaformer.utils.errors import UsageError

from ..helpers.golden import REPO_ROOT
from ..helpers.models import build_tiny
from .attention_cases import attention_by_loops, make_case

VARIABLE = "MMTAFORMER_ATTENTION_BACKEND"
CPU, CUDA, META = map(torch.device, ("cpu", "cuda", "meta"))


@pytest.fixture(autouse=True)
def _nothing_named(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    yield
    set_attention_backend(None)


@pytest.fixture
def gpu(monkeypatch):
    """Pretend that there is a GPU of some compute capability."""

    def pretend(*capability: int) -> None:
        monkeypatch.setattr(torch.version, "cuda", "13.0")
        monkeypatch.setattr(
            torch.cuda, "get_device_capability", lambda device: capability
        )

    return pretend


def choose(device: torch.device, is_double: bool = False) -> str:
    return backends._choose(device, is_double, backends._configured)


def test_devices_take_the_first_backend_that_can_compute(gpu, monkeypatch):
    pytest.importorskip("triton")
    gpu(9, 0)
    assert choose(CPU) == "cpu"
    assert choose(META) == "grid_sample"
    assert choose(CUDA) == "mmcv"  # until Triton has been seen to be right and faster
    monkeypatch.setitem(backends.PREFERENCES, "cuda", ("triton", "mmcv", "grid_sample"))
    assert choose(CUDA) == "triton"
    assert choose(CUDA, is_double=True) == "mmcv"
    gpu(7, 5)
    assert choose(CUDA) == "mmcv"


@pytest.mark.parametrize("missing, chosen", [("triton", "mmcv"), ("mmcv", "triton")])
def test_what_is_not_installed_is_not_chosen(gpu, monkeypatch, missing, chosen):
    gpu(8, 0)
    monkeypatch.setattr(
        backends, "find_spec", lambda name: None if name == missing else object()
    )
    assert choose(CUDA) == chosen


def test_environment_counts_more_than_config(monkeypatch):
    set_attention_backend("grid_sample")
    assert choose(CPU) == "grid_sample"
    monkeypatch.setenv(VARIABLE, "cpu")
    assert choose(CPU) == "cpu"
    monkeypatch.setenv(VARIABLE, "")
    assert choose(CPU) == "grid_sample"
    set_attention_backend(None)
    assert choose(CPU) == "cpu"


@pytest.mark.parametrize(
    "name, hint",
    [("tritn", "did you mean 'triton'"), ("x", "use 'cpu', 'triton', 'mmcv' or")],
)
def test_unknown_name(monkeypatch, name, hint):
    with pytest.raises(UsageError, match=f"attention_backend is '{name}'.*{hint}"):
        set_attention_backend(name)
    monkeypatch.setenv(VARIABLE, name)
    with pytest.raises(UsageError, match=f"{VARIABLE} is '{name}'.*{hint}"):
        choose(CPU)


@pytest.mark.parametrize(
    "name, device, is_double, problem",
    [
        ("cpu", CUDA, False, "the tensors are on cuda"),
        ("mmcv", CPU, False, "on CUDA devices and the tensors are on cpu"),
        ("triton", CUDA, True, "it has no float64"),
        ("triton", CUDA, False, "compute capability 7.5 and it needs 8.0"),
    ],
)
def test_impossible_name(gpu, name, device, is_double, problem):
    pytest.importorskip("triton")
    gpu(7, 5)
    set_attention_backend(name)
    with pytest.raises(UsageError, match=f"names backend '{name}', but .*{problem}"):
        choose(device, is_double)


def test_triton_without_interpreter_or_package(monkeypatch):
    set_attention_backend("triton")
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    monkeypatch.setattr(backends, "find_spec", lambda name: object())
    with pytest.raises(UsageError, match="NVIDIA's GPUs and the tensors are on cpu"):
        choose(CPU)
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install triton"):
        choose(CPU)


def test_operator_asks_for_the_backend(monkeypatch):
    case = make_case(clips=1)
    monkeypatch.setenv(VARIABLE, "grid_sample")
    output = spatio_temporal_deformable_attention(*case)
    composed = composed_attention(*case, grid_sample_attention.multi_scale_attention)
    assert torch.equal(output, composed)
    torch.testing.assert_close(output, attention_by_loops(case))
    monkeypatch.setenv(VARIABLE, "mmcv")
    with pytest.raises(UsageError):
        spatio_temporal_deformable_attention(*case)


def test_config_names_a_backend():
    with DefaultScope.overwrite_default_scope("mmdet"):
        build_tiny(attention_backend="grid_sample")
        assert choose(CPU) == "grid_sample"
        with pytest.raises(UsageError, match="did you mean 'triton'"):
            build_tiny(attention_backend="Triton")


def test_meta_tensors_take_any_backend():
    """What computes the memory of a model counts what a backend would save."""
    case = make_case()
    on_meta = case._replace(
        value=case.value.to("meta"),
        reference_points=case.reference_points.to("meta"),
        sampling_offsets=case.sampling_offsets.to("meta"),
        attention_logits=case.attention_logits.to("meta"),
    )
    for name in ("mmcv", "triton", "grid_sample"):
        set_attention_backend(name)
        output = spatio_temporal_deformable_attention(*on_meta)
        assert output.shape == (2, 3, 7, 10)


def test_backend_may_change_between_compiled_calls(monkeypatch):
    case = make_case(clips=1, value_frames=1)
    compiled = torch.compile(
        spatio_temporal_deformable_attention, fullgraph=True, backend="aot_eager"
    )
    results = []
    for name in ("cpu", "grid_sample"):
        set_attention_backend(name)
        results.append(compiled(*case))
        assert torch.equal(results[-1], spatio_temporal_deformable_attention(*case))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_grid_sample_equals_mmcv(dtype):
    generator = torch.Generator().manual_seed(0)
    shapes = ((4, 6), (1, 3))
    value = torch.randn(3, 27, 2, 5, generator=generator, dtype=dtype)
    locations = 2 * torch.rand(3, 7, 2, 2, 4, 2, generator=generator, dtype=dtype) - 0.5
    weights = torch.rand(3, 7, 2, 2, 4, generator=generator, dtype=dtype)
    inputs = [tensor.requires_grad_() for tensor in (value, locations, weights)]
    results = []
    for function in (
        grid_sample_attention.multi_scale_attention,
        multi_scale_deformable_attn_pytorch,
    ):
        output = function(inputs[0], shapes, *inputs[1:])
        results.append((output, *torch.autograd.grad(output.square().sum(), inputs)))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


ALONE = """
import sys, types
for name in ("mmcv", "mmdet", "mmengine", "numba", "cv2", "scipy"):
    sys.modules[name] = None  # importing it fails
for name in ("mmtaformer", "mmtaformer.utils"):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [name.replace(".", "/")]
import torch
from mmtaformer.ops import spatio_temporal_deformable_attention
value, points = torch.rand(1, 1, 4, 1, 8), torch.rand(1, 1, 2, 1, 2)
offsets, logits = torch.rand(1, 1, 2, 1, 1, 1, 1, 2), torch.rand(1, 1, 2, 1, 1, 1, 1)
print(*spatio_temporal_deformable_attention(
    value, [(2, 2)], points, offsets, logits, (0,)
).shape)
"""


def test_needs_torch_alone(monkeypatch):
    monkeypatch.setenv(VARIABLE, "grid_sample")
    result = subprocess.run(
        [sys.executable, "-c", ALONE],
        cwd=REPO_ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["1", "1", "2", "8"]
