"""Parity, determinism, time and memory of deformable attention."""

import functools
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from mmtaformer.utils.benchmark import measure

from .inputs import (
    BACKENDS,
    DTYPES,
    PAPER_LEVELS,
    Inputs,
    Shape,
    available_backends,
    by_grid_sample,
    by_triton,
    make_inputs,
)

# Largest difference from float64, relative to the largest number of a tensor or to 1,
# which inputs are of the size of. For half precision: a few roundings of the result.
TOLERANCES = {"float32": 2e-5, "float16": 4e-3, "bfloat16": 3e-2}


def parity(device: str, toy: bool) -> Iterator[dict]:
    """Output and gradients of every backend beside float64 on the CPU."""
    for index, shape in enumerate(random_shapes(1 if toy else 12, toy)):
        inputs = make_inputs(shape, seed=index)
        for name in available_backends(device):
            function, dtypes = BACKENDS[name]
            for dtype in dtypes:
                row = dict(shape=shape.name, backend=name, dtype=dtype)
                yield dict(row, **attempt(_parity, inputs, function, device, dtype))


def _parity(
    inputs: Inputs, function: Callable[[Inputs], Tensor], device: str, dtype: str
) -> dict:
    ours = inputs.to(device, DTYPES[dtype], torch.float32)
    exact = ours.to("cpu", torch.float64, torch.float64)
    actual = outputs_and_gradients(function, ours)
    expected = outputs_and_gradients(by_grid_sample, exact)
    names = ("output", "value", "references", "offsets", "logits")
    errors = {}
    for name, a, b in zip(names, actual, expected, strict=True):
        scale = max(b.abs().max().item(), 1.0)
        errors[name] = (a.cpu().double() - b).abs().max().item() / scale
    worst = max(errors.values())  # not a number if one of them is none
    return dict(errors, tolerance=TOLERANCES[dtype], ok=worst <= TOLERANCES[dtype])


def random_shapes(count: int, toy: bool) -> list[Shape]:
    """Shapes with odd maps, borders of clips, boxes, 1 to 64 channels."""
    rng = random.Random(0)
    largest = 4 if toy else 40
    shapes = []
    for index in range(count):
        levels = [
            (rng.randint(1, largest), rng.randint(1, largest))
            for _ in range(rng.randint(1, 1 if toy else 4))
        ]
        relative = rng.choice([(-1, 0)] if toy else [(0,), (-2, -1, 1, 2), (-2, 0, 3)])
        shape = Shape(
            name="",
            frames=2 if toy else rng.randint(2, 5),
            levels=levels,
            relative_frames=relative,
            queries=rng.randint(1, 3 if toy else 300),
            coordinates=rng.choice([2, 4]),
            clips=1 if toy else rng.randint(1, 3),
            heads=1 if toy else rng.choice([1, 3, 8]),
            channels=rng.choice([8, 13, 16] if toy else [1, 8, 13, 16, 32, 43, 64]),
            points=1 if toy else rng.randint(1, 5),
        )
        name = (
            f"{index}: {shape.clips} x {shape.frames} frames, {list(relative)}, "
            f"{shape.queries} queries, {shape.heads} x {shape.channels}, "
            f"{'boxes' if shape.coordinates == 4 else 'points'}"
        )
        shapes.append(replace(shape, name=name))
    return shapes


def determinism(device: str, toy: bool) -> Iterator[dict]:
    """Whether gradients of the values are bit-equal from run to run."""
    shape = encoder_shapes(toy)[-1]
    inputs = make_inputs(shape).to(device, torch.float32, torch.float32)
    for deterministic in (True, False):
        row = dict(backend="triton", deterministic=deterministic)
        yield dict(row, **attempt(_determinism, inputs, deterministic, toy))


def _determinism(inputs: Inputs, deterministic: bool, toy: bool) -> dict:
    runs = 2 if toy else 10
    with deterministic_algorithms(deterministic):
        first, *others = [outputs_and_gradients(by_triton, inputs) for _ in range(runs)]
    differing = sum(
        not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
        for other in others
    )
    result = dict(runs=runs, runs_that_differ_from_the_first=differing)
    return dict(result, ok=differing == 0) if deterministic else result


def speed(device: str, toy: bool) -> Iterator[dict]:
    """Time and peak memory, beside what the device can move and multiply at best."""
    bandwidth, matmul = yield from limits(device, toy)
    for shape in encoder_shapes(toy):
        for backward in (False, True):
            for name, dtype, deterministic in variants(device, backward, toy):
                row = dict(
                    shape=shape.name,
                    what="forward + backward" if backward else "forward",
                    backend=name,
                    dtype=dtype,
                    deterministic=deterministic,
                )
                size = DTYPES[dtype].itemsize
                least = max(
                    shape.least_bytes(size, backward) / bandwidth,
                    shape.least_flop(backward) / matmul,
                )
                with deterministic_algorithms(deterministic):
                    measured = attempt(
                        _speed, shape, name, dtype, backward, device, toy
                    )
                if "ms" in measured:
                    measured["limit_ms"] = 1000 * least
                    measured["times_the_limit"] = measured["ms"] / (1000 * least)
                yield dict(row, **measured)


def variants(device: str, backward: bool, toy: bool) -> Iterator[tuple[str, str, bool]]:
    """Backend, dtype, and whether it is asked to be deterministic."""
    for name in available_backends(device):
        for dtype in BACKENDS[name][1][:1] if toy else BACKENDS[name][1]:
            yield name, dtype, False
    if backward:
        yield "triton", "bfloat16", True


def _speed(
    shape: Shape, name: str, dtype: str, backward: bool, device: str, toy: bool
) -> dict:
    function = BACKENDS[name][0]
    # The operator is given what autocast makes, whatever the backend casts it to.
    inputs = make_inputs(shape).to(device, DTYPES[dtype], torch.float32)
    if backward:
        inputs.require_grad()
        inputs.tensors[1].requires_grad_(False)  # references come detached

    def work() -> None:
        output = function(inputs)
        if backward:
            wanted = [tensor for tensor in inputs.tensors if tensor.requires_grad]
            torch.autograd.grad(output, wanted, torch.ones_like(output))

    on_gpu = device.startswith("cuda")
    with torch.set_grad_enabled(backward):
        if on_gpu:
            work()  # compiles
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
        seconds = measure(work, device, 1 if toy else 20, 0 if toy else 3).seconds
    result = dict(ms=1000 * seconds)
    if on_gpu:
        result["peak_mb"] = (torch.cuda.max_memory_allocated() - before) / 1e6
    return result


def limits(device: str, toy: bool) -> Iterator[dict]:
    """Bytes a second of a copy, FLOP a second of a float32 matrix product."""
    numbers = 2**16 if toy else 2**27
    source = torch.ones(numbers, device=device)
    target = torch.empty_like(source)
    seconds = measure(lambda: target.copy_(source), device, 10, 2).seconds
    bandwidth = 8 * numbers / seconds
    yield dict(limit="copy", gb_per_second=bandwidth / 1e9)
    size, rates = 64 if toy else 8192, {}
    for dtype in ("float32", "bfloat16"):
        matrix = torch.ones(size, size, device=device, dtype=DTYPES[dtype])
        product = torch.empty_like(matrix)
        multiply = functools.partial(torch.mm, matrix, matrix, out=product)
        seconds = measure(multiply, device, 5, 2).seconds
        rates[dtype] = 2 * size**3 / seconds
        yield dict(
            limit=f"matrix product, {dtype}", tflop_per_second=rates[dtype] / 1e12
        )
    # The operator's arithmetic is float32, outside the units for matrices.
    return bandwidth, rates["float32"]


def encoder_shapes(toy: bool) -> list[Shape]:
    """The calls of encoder and decoder at the paper's sizes."""
    if toy:
        small = dict(levels=((2, 3),), heads=1, channels=8, points=1)
        return [Shape("toy", 2, relative_frames=(-1, 1), **small)]
    spatial, temporal = (0,), (-2, -1, 1, 2)
    return [
        Shape("training, spatial, 5 frames", 5, PAPER_LEVELS, spatial),
        Shape("training, temporal, 5 frames", 5, PAPER_LEVELS, temporal),
        Shape("decoder, 300 boxes, 5 frames", 5, PAPER_LEVELS, spatial, 300, 4),
        Shape("video, spatial, 36 frames", 36, PAPER_LEVELS, spatial),
        Shape("video, temporal, 36 frames", 36, PAPER_LEVELS, temporal),
    ]


def outputs_and_gradients(
    function: Callable[[Inputs], Tensor], inputs: Inputs
) -> list[Tensor]:
    """Output and the gradients of all four tensors, for a fixed gradient."""
    inputs.require_grad()
    output = function(inputs)
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(output.shape, generator=generator).to(output)
    return [output.detach(), *torch.autograd.grad(output, inputs.tensors, weight)]


@contextmanager
def deterministic_algorithms(enabled: bool) -> Iterator[None]:
    """Torch's switch, as it was afterwards."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(enabled)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def attempt(work: Callable[..., dict], *args, **kwargs) -> dict:
    """What the work returns, or its error as the first line says it."""
    try:
        return work(*args, **kwargs)
    except Exception as error:
        message = str(error).strip().splitlines() or [""]
        return dict(error=f"{type(error).__name__}: {message[0]}"[:300], ok=False)
