"""Time and memory of whole models, and the computed memory table beside measured."""

import functools
import importlib.util
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from mmengine.registry import init_default_scope

from mmtaformer.ops import set_attention_backend
from mmtaformer.utils.benchmark import measure

from .operator_parts import attempt

ROOT = Path(__file__).resolve().parents[3]
OWN_MODELS = ("taformer", "seqformer")


@dataclass(frozen=True)
class Precision:
    """How a model computes: float32 without or with TF32, autocast, compiled."""

    name: str
    tf32: bool = False
    amp: bool = False
    compiled: bool = False

    @property
    def dtype(self) -> str:
        return "bfloat16" if self.amp else "float32"


FLOAT32 = Precision("float32")
TF32 = Precision("TF32", tf32=True)
AMP = Precision("--amp", tf32=True, amp=True)
COMPILED = Precision("--amp, torch.compile", tf32=True, amp=True, compiled=True)


def model(device: str, toy: bool) -> Iterator[dict]:
    """Prediction of 36 frames and training steps, beside Mask2Former-VIS.

    What says most comes first, for the part is stopped when its time is over.
    """
    init_default_scope("mmdet")
    backends = ("triton", "mmcv") if device.startswith("cuda") else (None,)
    for precision in (FLOAT32,) if toy else (AMP, TF32, FLOAT32):
        for backend, name in itertools.product(backends, OWN_MODELS[: 1 if toy else 2]):
            yield from prediction(name, precision, backend, device, toy)
            yield from training(name, precision, backend, device, toy)
        if not toy:
            yield from prediction("mask2former", precision, None, device, toy)
            yield from training("mask2former", precision, None, device, toy)
    if not toy:
        for name in OWN_MODELS:
            yield from prediction(name, COMPILED, "triton", device, toy)


def prediction(
    name: str, precision: Precision, backend: str | None, device: str, toy: bool
) -> Iterator[dict]:
    """A video at once, and in clips as online tracking takes it."""
    size, frames = ((64, 96), 2) if toy else ((360, 640), 36)
    for clip in (frames,) if name == "mask2former" or toy else (frames, 6):
        what = f"predict {frames} frames"
        what += "" if clip == frames else f" in clips of {clip}, network alone"
        work = dict(model=name, frames=clip, size=size, device=device)
        row = functools.partial(_row, "inference_work", work, what, precision)
        yield row(backend, repeats=frames // clip)


def training(
    name: str, precision: Precision, backend: str | None, device: str, toy: bool
) -> Iterator[dict]:
    """Steps of 1, 2, 4 clips; where the model can recompute, steps that do."""
    size, frames = ((64, 96), 2) if toy else ((320, 576), 5)
    can_recompute = name in OWN_MODELS and backend != "mmcv" and not toy
    for clips, recompute in itertools.product(
        (1,) if toy else (1, 2, 4), (False, True) if can_recompute else (False,)
    ):
        what = f"train {clips} x {frames} frames" + ", recomputing" * recompute
        work = dict(model=name, frames=frames, size=size, device=device)
        work.update(recompute=recompute, clips=clips)
        yield _row("train_work", work, what, precision, backend)


def _row(
    builder: str,
    work: dict,
    what: str,
    precision: Precision,
    backend: str | None,
    repeats: int = 1,
) -> dict:
    """A row of the table; ``repeats`` calls make what the row is about."""
    work = dict(work, dtype=precision.dtype, compiled=precision.compiled)
    set_attention_backend(backend)
    with float32_products(precision.tf32):
        measured = attempt(_build_and_measure, builder, work, repeats)
    if work["device"].startswith("cuda"):
        torch.cuda.empty_cache()
    row = dict(model=work["model"], what=what, precision=precision.name)
    return dict(row, backend=backend, **measured)


def _build_and_measure(builder: str, work: dict, repeats: int) -> dict:
    benchmark = load_script("tools/analysis_tools/benchmark.py")
    return _measured(getattr(benchmark, builder)(**work), work["device"], repeats)


def _measured(work: Callable[[], object], device: str, repeats: int) -> dict:
    on_gpu = device.startswith("cuda")
    if on_gpu:
        work()  # compiles, and finds the fastest convolutions
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    seconds = measure(work, device, 3 if on_gpu else 1, 0).seconds
    result = dict(seconds=seconds * repeats)
    if on_gpu:
        result["peak_gb"] = torch.cuda.max_memory_allocated() / 1e9
    return result


def memory(device: str, toy: bool) -> Iterator[dict]:
    """Rows of the table in docs/en/distributed.md, measured beside computed."""
    init_default_scope("mmdet")
    rows = itertools.product(OWN_MODELS, (1, 2, 4), (False, True))
    for name, clips, recompute in itertools.islice(rows, 1 if toy else None):
        row = dict(model=name, clips=clips, recomputing=recompute)
        yield dict(row, **attempt(_memory, name, clips, recompute, device, toy))
        if device.startswith("cuda"):
            torch.cuda.empty_cache()


def _memory(name: str, clips: int, recompute: bool, device: str, toy: bool) -> dict:
    benchmark = load_script("tools/analysis_tools/benchmark.py")
    script = load_script("tools/analysis_tools/memory.py")
    size, frames, instances = ((64, 96), 2, 10) if toy else ((448, 768), 5, 10)
    computed = script.compute(
        benchmark.MODEL_CONFIGS[name],
        clips=clips,
        frames=frames,
        size=size,
        instances=instances,
        options={
            "model.encoder.with_cp": recompute,
            "model.decoder.with_cp": recompute,
        },
    )
    result = dict(computed_gb=computed)
    if device.startswith("cuda"):
        work = benchmark.train_work(
            model=name,
            frames=frames,
            size=size,
            device=device,
            dtype="float32",
            recompute=recompute,
            recompute_backbone=False,
            clips=clips,
            instances=instances,
        )
        result["measured_gb"] = _measured(work, device, 1)["peak_gb"]
    return result


def load_script(path: str) -> ModuleType:
    """A script of the project, by its path from the root."""
    file = ROOT / path
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def float32_products(tf32: bool) -> Iterator[None]:
    """Whether matrix products and convolutions may round to TF32."""
    precision = torch.get_float32_matmul_precision()
    allowed = torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.allow_tf32 = allowed
