"""Numba kernels of the fused deformable attention (CPU).

The kernels are serial, release the GIL and work on a range of independent items;
:mod:`mmtaformer.ops.parallel` runs ranges on several threads. They go through the
queries head by head, so that what neighbouring queries sample stays in cache.

Symbols: B clips, Tv value frames, Tq query frames, S tokens, Lq queries, M heads, D
channels per head, R relative frames, L levels, P points; K = L * P samples per frame.
"""

import numpy as np

from .cpu_sampling import (
    exponentials,
    locate,
    make_grid,
    make_scratch,
    sample,
    softmax,
)
from .simd import gather, inline, kernel, scatter


@inline
def _layout(value, heads_first):
    """Number of frames and tokens; rows from head to head and token to token."""
    _, frames, outer, inner, _ = value.shape
    if heads_first:
        return frames, inner, inner, 1
    return frames, outer, 1, inner


@kernel
def forward(
    start,
    stop,
    value,
    heads_first,
    shapes,
    references,
    offsets,
    logits,
    relative_frames,
    first_frame,
    output,
    log_sums,
):
    """Attention of the items start..stop-1 of the flattened (B, Tq, M, Lq).

    Args:
        value: (B, Tv, M, S, D) if ``heads_first``, else (B, Tv, S, M, D).
        shapes: (L, 2) int64, (height, width).
        references: (B or 1, Tq or 1, Lq or 1, L or 1, 2 or 4).
        offsets: (B, Tq, Lq, M, R, K * 2).
        logits: (B, Tq, Lq, M, R, K).
        relative_frames: (R,) int64.
        output: (B, Tq, Lq, M, D), written.
        log_sums: (B, Tq, Lq, M), written: logarithm of the softmax denominator.
    """
    relatives, samples = logits.shape[4:]
    dtype = value.dtype.type
    points = samples // shapes.shape[0]
    grid = make_grid(shapes, points, references.shape[3], dtype)
    buffers = (
        np.empty(relatives, np.int64),
        np.empty((relatives, samples), dtype),
        np.empty((8, samples), dtype),
        np.empty((relatives, 4, samples), np.int32),
        np.empty((relatives, 4, samples), dtype),
    )
    table = (value.reshape(-1), *_layout(value, heads_first))
    inputs = (table, references, offsets, logits, relative_frames, first_frame)
    scratch = make_scratch(grid[1])
    _forward(start, stop, inputs, grid, scratch, buffers, output, log_sums)


@inline
def _forward(start, stop, inputs, grid, scratch, buffers, output, log_sums):
    table, references, offsets, logits, relative_frames, first_frame = inputs
    values, value_frames, tokens, head_step, token_step = table
    present, share, side, index, weight = buffers
    _, query_frames, queries, heads, relatives, samples = logits.shape
    clip, frame, head, number = 0, 0, 0, 0
    for item in range(start, stop):
        query = item % queries
        if query == 0 or item == start:
            head = item // queries % heads
            frame = item // (queries * heads) % query_frames
            clip = item // (queries * heads * query_frames)
            number = 0
            for r in range(relatives):
                if 0 <= first_frame + frame + relative_frames[r] < value_frames:
                    present[number] = r
                    number += 1
        at = (clip, frame, query, head)
        locate(references, clip, frame, query, grid, scratch)
        log_sums[at] = softmax(logits[at], present[:number], share)
        for slot in range(number):
            r = present[slot]
            source = first_frame + frame + relative_frames[r]
            first_row = (clip * value_frames + source) * tokens * heads
            sample(
                offsets[at][r],
                share[slot],
                grid,
                (first_row + head * head_step, token_step),
                scratch,
                side,
                index[slot],
                weight[slot],
            )
        gather(
            values,
            index.reshape(-1),
            weight.reshape(-1),
            number * 4 * samples,
            output[at],
        )


@kernel
def backward(
    start,
    stop,
    value,
    heads_first,
    shapes,
    references,
    offsets,
    logits,
    relative_frames,
    first_frame,
    output,
    log_sums,
    grad_output,
    grad_value,
    grad_positions,
    grad_logits,
):
    """Gradients for the items start..stop-1 of the flattened (B, Tv, M).

    An item owns its slice of ``grad_value``, and each (query, relative frame, head)
    belongs to the item that it samples: no two items write the same element. Relative
    frames outside the clip belong to none.

    Args:
        value ... log_sums: as in :func:`forward`.
        grad_output: (B, Tq, Lq, M, D).
        grad_value: as ``value``, written.
        grad_positions: (B, Tq, Lq, M, R, K * 2), written: gradient of the sampling
            positions in pixels of their level.
        grad_logits: (B, Tq, Lq, M, R, K), written.
    """
    samples = logits.shape[5]
    dtype = value.dtype.type
    points = samples // shapes.shape[0]
    grid = make_grid(shapes, points, references.shape[3], dtype)
    buffers = (
        np.empty(samples, dtype),
        np.empty((8, samples), dtype),
        np.empty((4, samples), np.int32),
        np.empty((4, samples), dtype),
        np.empty((4, samples), dtype),
    )
    table = (value.reshape(-1), *_layout(value, heads_first))
    inputs = (table, references, offsets, logits, relative_frames, first_frame)
    results = (output, log_sums, grad_output)
    grads = (grad_value.reshape(-1), grad_positions, grad_logits)
    scratch = make_scratch(grid[1])
    _backward(start, stop, inputs, results, grads, grid, scratch, buffers)


@inline
def _backward(start, stop, inputs, results, grads, grid, scratch, buffers):
    table, references, offsets, logits, relative_frames, first_frame = inputs
    values, value_frames, tokens, head_step, token_step = table
    output, log_sums, grad_output = results
    grad_values, grad_positions, grad_logits = grads
    share, side, index, weight, dot = buffers
    _, query_frames, queries, heads, relatives, _ = logits.shape
    channels = grad_output.shape[-1]
    for item in range(start, stop):
        head = item % heads
        source = item // heads % value_frames
        clip = item // (heads * value_frames)
        first_row = (clip * value_frames + source) * tokens * heads + head * head_step
        rows = (first_row, token_step)
        for token in range(tokens):
            row = (first_row + token * token_step) * channels
            grad_values[row : row + channels] = 0
        for r in range(relatives):
            frame = source - first_frame - relative_frames[r]
            if not 0 <= frame < query_frames:
                continue
            for query in range(queries):
                at = (clip, frame, query, head)
                locate(references, clip, frame, query, grid, scratch)
                exponentials(logits[at][r], log_sums[at], share)
                sample(offsets[at][r], share, grid, rows, scratch, side, index, weight)
                scatter(
                    values,
                    grad_values,
                    index.reshape(-1),
                    weight.reshape(-1),
                    grad_output[at],
                    dot.reshape(-1),
                )
                _gradients(
                    share,
                    grad_output[at],
                    output[at],
                    dot,
                    side,
                    grad_positions[at][r],
                    grad_logits[at][r],
                )


@inline
def _gradients(share, gradient, output, dot, side, grad_positions, grad_logits):
    """Gradients of K sampling positions (pixels) and logits of one query and head.

    Args:
        gradient, output: (D,) of this query and head, over all relative frames.
        dot: (4, K) products of ``gradient`` with the values at the four neighbours.
        side: see :func:`sample`.
        grad_positions, grad_logits: (K * 2,), (K,) results.
    """
    d00, d10, d01, d11 = dot[0], dot[1], dot[2], dot[3]
    x0, x1, y0, y1 = side[0], side[1], side[2], side[3]
    has_x0, has_x1, has_y0, has_y1 = side[4], side[5], side[6], side[7]
    mean = share.dtype.type(0)  # the mean of ``along`` over all samples
    for c in range(gradient.shape[0]):
        mean += gradient[c] * output[c]
    for k in range(share.shape[0]):
        along = y0[k] * (x0[k] * d00[k] + x1[k] * d10[k])
        along += y1[k] * (x0[k] * d01[k] + x1[k] * d11[k])
        step_x = y0[k] * (has_x1[k] * d10[k] - has_x0[k] * d00[k])
        step_x += y1[k] * (has_x1[k] * d11[k] - has_x0[k] * d01[k])
        step_y = x0[k] * (has_y1[k] * d01[k] - has_y0[k] * d00[k])
        step_y += x1[k] * (has_y1[k] * d11[k] - has_y0[k] * d10[k])
        grad_positions[2 * k] = share[k] * step_x
        grad_positions[2 * k + 1] = share[k] * step_y
        grad_logits[k] = share[k] * (along - mean)
