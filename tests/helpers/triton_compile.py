"""Compile the Triton kernels without a GPU; prints what they take, as JSON.

    TRITON_INTERPRET=0 python -m tests.helpers.triton_compile 80 90 120

A process of its own, because Triton's interpreter and its compiler exclude each other.
"""

import itertools
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from mmtaformer.ops import triton_kernels
from mmtaformer.ops.triton_attention import COMPILER_OPTIONS, tile

INT32_TENSORS = {"levels", "relative_frames"}
FLOAT32_TENSORS = {"references", "log_sums", "fixed_point_scale", "grad_references"}
# What the encoder and decoder of the shipped configs call, and the extremes of what the
# tests of the operator call: type of values and projections, channels of a head,
# relative frames, coordinates of a reference.
VARIANTS = (
    ("fp32", 32, 4, 2),
    ("bf16", 32, 4, 2),
    ("bf16", 32, 1, 4),
    ("fp16", 64, 4, 2),
)


def signature(kernel, value_type: str, deterministic: bool) -> dict[str, str]:
    """The types of a kernel's arguments; projections are what autocast makes them."""
    types = dict.fromkeys(kernel.arg_names, "constexpr")
    for name in kernel.arg_names:
        if name in triton_kernels.SIZES:
            types[name] = "i32"
        elif name in INT32_TENSORS:
            types[name] = "*i32"
        elif name in FLOAT32_TENSORS:
            types[name] = "*fp32"
        elif name == "grad_value":
            types[name] = "*i64" if deterministic else "*fp32"
        elif not name.isupper():
            types[name] = f"*{value_type}"
    return types


def compile_kernel(
    capability: int,
    value_type: str,
    channels: int,
    relatives: int,
    coordinates: int,
    backward: bool,
    deterministic: bool = False,
) -> dict:
    """Compile one variant for 8 heads, 4 levels and 4 points; registers and memory."""
    kernel = (
        triton_kernels.backward_kernel if backward else triton_kernels.forward_kernel
    )
    block_queries, block_channels = tile(channels)
    constants = dict(
        R=relatives,
        L=4,
        P=4,
        M=8,
        D=channels,
        BOXES=coordinates == 4,
        BLOCK_Q=block_queries,
        BLOCK_D=block_channels,
    )
    if backward:
        constants.update(REFERENCE_GRAD=True, DETERMINISTIC=deterministic)
    else:
        constants.update(BLOCK_N=relatives * 16)
    types = signature(kernel, value_type, deterministic)
    source = ASTSource(
        fn=kernel,
        signature=types,
        constexprs={(kernel.arg_names.index(k),): v for k, v in constants.items()},
        # What the launcher finds out: torch's allocations are aligned.
        attrs={
            (i,): [["tt.divisibility", 16]]
            for i, name in enumerate(kernel.arg_names)
            if types[name].startswith("*")
        },
    )
    compiled = triton.compile(
        source,
        target=GPUTarget("cuda", capability, 32),
        options=COMPILER_OPTIONS,
    )
    return dict(
        capability=capability,
        kernel="backward" if backward else "forward",
        value=value_type,
        channels=channels,
        relative_frames=relatives,
        coordinates=coordinates,
        deterministic=deterministic,
        shared_bytes=compiled.metadata.shared,
        **resource_usage(compiled.asm["cubin"]),
    )


def resource_usage(cubin: bytes) -> dict[str, int]:
    """Registers a thread takes, and the bytes of stack that it spills to."""
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        text = subprocess.run(
            [tool, "--dump-resource-usage", file.name],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    numbers = dict(re.findall(r"(REG|STACK|LOCAL):(\d+)", text))
    return dict(
        registers=int(numbers["REG"]),
        spilled_bytes=int(numbers["STACK"]) + int(numbers["LOCAL"]),
    )


def main(capabilities: list[str]) -> None:
    """Compile every variant for every compute capability (80, 90, ...)."""
    rows = []
    for capability, variant in itertools.product(map(int, capabilities), VARIANTS):
        rows.append(compile_kernel(capability, *variant, backward=False))
        for deterministic in (False, True):
            row = compile_kernel(capability, *variant, True, deterministic)
            rows.append(row)
    print(json.dumps(rows))


if __name__ == "__main__":
    main(sys.argv[1:])
