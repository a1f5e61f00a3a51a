"""What Numba lacks for the kernels: rows as vectors, a vectorized exp, no aliasing."""

import hashlib
import math
from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.compiler import Compiler
from numba.extending import intrinsic, overload

# No "nnan"/"ninf": a NaN of a diverged training has to stay visible.
_FLAGS = ("reassoc", "contract", "arcp", "nsz")
_OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": set(_FLAGS)}
_INT64 = ir.IntType(64)


def kernel(function: Callable) -> Callable:
    """Compile at the first call and cache on disk wherever that is possible.

    Numba's cache notices changes of the function's own file only. So the name under
    which it is cached holds a digest of all files that it may be compiled from.
    """
    try:
        sources = sorted(Path(__file__).parent.glob("*.py"))
        digest = hashlib.sha256(b"".join(map(Path.read_bytes, sources))).hexdigest()
        function.__qualname__ += "_" + digest[:12]
        return numba.njit(cache=True, **_OPTIONS)(function)
    except (OSError, RuntimeError):  # no source, or no directory that is writable
        return numba.njit(**_OPTIONS)(function)


class _NoAliasCompiler(Compiler):
    """Tells LLVM that array arguments do not overlap, or it would not vectorize."""

    def define_pipelines(self):
        self.state.flags.noalias = True
        return super().define_pipelines()


def _inline(fastmath: set[str]) -> Callable:
    return numba.njit(
        forceinline=True,
        pipeline_class=_NoAliasCompiler,
        _nrt=False,  # no reference counting: these functions only borrow arrays
        **{**_OPTIONS, "fastmath": fastmath},
    )


inline = _inline(set(_FLAGS))
# Rounds after every operation as written, but for fused multiply-adds.
inline_in_order = _inline({"contract", "nsz"})
inline_without_nan = _inline({"nnan", "nsz"})
allocating = numba.njit(**_OPTIONS)


def _pointers(context, builder, types_, values):
    """Data pointers of arrays."""
    return [
        context.make_array(type_)(context, builder, value).data
        for type_, value in zip(types_, values, strict=True)
    ]


def _vector_at(builder, pointer, offset, vector):
    return builder.bitcast(builder.gep(pointer, [offset]), vector.as_pointer())


def _broadcast(builder, scalar, vector):
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None)
    return builder.shuffle_vector(first, undefined, lanes)


def _row_loop(builder, count, step, initial, body):
    """Emit ``for i in range(0, count, step): carried = body(i, carried)``."""
    before = builder.block
    loop = builder.append_basic_block("rows")
    end = builder.append_basic_block("rows.end")
    zero = ir.Constant(_INT64, 0)
    builder.cbranch(builder.icmp_signed("<=", count, zero), end, loop)
    builder.position_at_end(loop)
    i = builder.phi(_INT64)
    carried = [builder.phi(value.type) for value in initial]
    results = body(i, carried)
    following = builder.add(i, ir.Constant(_INT64, step))
    builder.cbranch(builder.icmp_signed("<", following, count), loop, end)
    i.add_incoming(zero, before)
    i.add_incoming(following, loop)
    for phi, first, result in zip(carried, initial, results, strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(result, loop)
    builder.position_at_end(end)
    outputs = [builder.phi(value.type) for value in initial]
    for phi, first, result in zip(outputs, initial, results, strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(result, loop)
    return outputs


@intrinsic(prefer_literal=True)
def _gather_columns(typingctx, table, index, weight, count, out, column, width):
    """out[column:+width] = sum_i weight[i] * table[index[i], column:+width].

    ``width`` is a literal: the sums are vectors that LLVM keeps in registers, which
    it does not do for a loop over an output array. ``count`` is even.
    """
    signature = types.void(table, index, weight, count, out, column, width)
    arrays = (table, index, weight, out)
    lanes = width.literal_value

    def codegen(context, builder, signature, args):
        element = context.get_value_type(table.dtype)
        align = context.get_abi_sizeof(element)
        vector = ir.VectorType(element, lanes)
        values, rows, weights, result = _pointers(
            context, builder, arrays, (*args[:3], args[4])
        )
        values = builder.gep(values, [args[5]])
        shape = context.make_array(out)(context, builder, args[4]).shape
        stride = builder.extract_value(shape, 0)

        def body(i, sums):
            results = []
            for lag, total in enumerate(sums):  # two sums hide the latency
                at = builder.add(i, ir.Constant(_INT64, lag))
                row = builder.sext(builder.load(builder.gep(rows, [at])), _INT64)
                offset = builder.mul(row, stride)
                data = _vector_at(builder, values, offset, vector)
                data = builder.load(data, align=align)
                scale = builder.load(builder.gep(weights, [at]))
                scale = _broadcast(builder, scale, vector)
                product = builder.fmul(data, scale, flags=_FLAGS)
                results.append(builder.fadd(total, product, flags=_FLAGS))
            return results

        first, second = _row_loop(
            builder, args[3], 2, [ir.Constant(vector, None)] * 2, body
        )
        target = _vector_at(builder, result, args[5], vector)
        builder.store(builder.fadd(first, second, flags=_FLAGS), target, align=align)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic(prefer_literal=True)
def _scatter_columns(
    typingctx, table, grads, index, weight, gradient, dot, column, width
):
    """Backward of :func:`_gather_columns`, for the same columns.

    dot[i] += <table[index[i]], gradient>; grads[index[i]] += weight[i] * gradient.
    """
    signature = types.void(table, grads, index, weight, gradient, dot, column, width)
    arrays = (table, grads, index, weight, gradient, dot)
    lanes = width.literal_value

    def codegen(context, builder, signature, args):
        element = context.get_value_type(table.dtype)
        align = context.get_abi_sizeof(element)
        vector = ir.VectorType(element, lanes)
        values, targets, rows, weights, upstream, dots = _pointers(
            context, builder, arrays, args[:6]
        )
        values = builder.gep(values, [args[6]])
        targets = builder.gep(targets, [args[6]])
        shape = context.make_array(gradient)(context, builder, args[4]).shape
        stride = builder.extract_value(shape, 0)
        shape = context.make_array(index)(context, builder, args[2]).shape
        count = builder.extract_value(shape, 0)
        upstream = _vector_at(builder, upstream, args[6], vector)
        upstream = builder.load(upstream, align=align)
        reduce = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(element, [element, vector]),
            f"llvm.vector.reduce.fadd.v{lanes}{element.intrinsic_name}",
        )

        def body(i, _):
            row = builder.sext(builder.load(builder.gep(rows, [i])), _INT64)
            offset = builder.mul(row, stride)
            data = _vector_at(builder, values, offset, vector)
            data = builder.load(data, align=align)
            target = _vector_at(builder, targets, offset, vector)
            scale = builder.load(builder.gep(weights, [i]))
            scale = _broadcast(builder, scale, vector)
            scaled = builder.fmul(upstream, scale, flags=_FLAGS)
            scaled = builder.fadd(
                builder.load(target, align=align), scaled, flags=_FLAGS
            )
            builder.store(scaled, target, align=align)
            product = builder.fmul(data, upstream, flags=_FLAGS)
            target = builder.gep(dots, [i])
            total = builder.call(
                reduce, [builder.load(target), product], fastmath=_FLAGS
            )
            builder.store(total, target)
            return []

        _row_loop(builder, count, 1, [], body)
        return context.get_dummy_value()

    return signature, codegen


@inline
def gather(table, index, weight, count, out):
    """Sum weight[i] * row index[i] of ``table`` over i < count (even) into ``out``.

    ``table`` is flat, its rows are as long as ``out``.
    """
    channels = out.shape[0]
    column = 0
    while column + 32 <= channels:
        _gather_columns(table, index, weight, count, out, column, 32)
        column += 32
    while column + 8 <= channels:
        _gather_columns(table, index, weight, count, out, column, 8)
        column += 8
    while column < channels:
        _gather_columns(table, index, weight, count, out, column, 1)
        column += 1


@inline
def scatter(table, grads, index, weight, gradient, dot):
    """Backward of :func:`gather` for the gradient of ``out``.

    dot[i] = <row index[i] of table, gradient>, which is the gradient of weight[i];
    row index[i] of ``grads`` += weight[i] * gradient.
    """
    channels = gradient.shape[0]
    dot[:] = 0
    column = 0
    while column + 32 <= channels:
        _scatter_columns(table, grads, index, weight, gradient, dot, column, 32)
        column += 32
    while column + 8 <= channels:
        _scatter_columns(table, grads, index, weight, gradient, dot, column, 8)
        column += 8
    while column < channels:
        _scatter_columns(table, grads, index, weight, gradient, dot, column, 1)
        column += 1


def exp(x):
    """Exponential of x <= 0; LLVM vectorizes that of float32."""
    raise NotImplementedError


@overload(exp, jit_options=_OPTIONS)
def _overload_exp(x):
    if x != types.float32:
        return lambda x: math.exp(x)
    log2_e = np.float32(1 / math.log(2))
    ln_2 = np.float32(math.log(2))
    c2, c3, c4, c5, c6, c7 = (np.float32(1 / math.factorial(n)) for n in range(2, 8))
    one = np.float32(1)
    half = np.float32(0.5)
    lowest = np.float32(-87)  # 2 ** -126 is the smallest normal number

    def exp32(x):
        x = lowest if x < lowest else x
        power = np.floor(x * log2_e + half)
        x -= power * ln_2
        series = c4 + x * (c5 + x * (c6 + x * c7))
        series = one + x * (one + x * (c2 + x * (c3 + x * series)))
        return series * np.int32((np.int32(power) + 127) << 23).view(np.float32)

    return exp32


@inline_without_nan
def highest(values):
    """Maximum; "nnan" lets LLVM vectorize it, a NaN comes out of the exp instead."""
    result = values[0]
    for k in range(values.shape[0]):
        result = max(result, values[k])
    return result
