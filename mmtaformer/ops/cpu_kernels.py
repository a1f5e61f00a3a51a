"""Numba kernels of the fused deformable attention (CPU).

The kernels are serial, release the GIL and work on a range of independent items;
:mod:`mmtaformer.ops.parallel` runs ranges on several threads.

Symbols: B clips, Tv value frames, Tq query frames, S tokens, Lq queries, M heads, D
channels per head, R relative frames, L levels, P points; K = L * P samples per frame.
"""

import math

import numpy as np

from .simd import exp, gather, highest, inline, inline_in_order, kernel, scatter


@inline
def _exponentials(logits, offset, weights):
    """Set weights to exp(logits - offset), (K,), and return their sum."""
    total = weights.dtype.type(0)
    for k in range(weights.shape[0]):
        weights[k] = exp(logits[k] - offset)
        total += weights[k]
    return total


@inline
def _grid(shapes, points, dtype):
    """Size (2, K: width, height) and first row (K,) of the level of each sample."""
    count = shapes.shape[0] * points
    sizes = np.empty((2, count), dtype)
    first_row = np.empty(count, np.int32)
    row = 0
    for level in range(shapes.shape[0]):
        for k in range(level * points, (level + 1) * points):
            sizes[0, k] = shapes[level, 1]
            sizes[1, k] = shapes[level, 0]
            first_row[k] = row
        row += shapes[level, 0] * shapes[level, 1]
    return sizes, first_row, points


@inline
def _scratch(grid):
    """Origin, divisor, scale (2, K) and cell (4, K) for :func:`_sample`.

    Divisor and scale are those of reference points, the same for all queries.
    """
    sizes = grid[0]
    cell = np.empty((4, sizes.shape[1]), np.int32)
    return np.empty_like(sizes), sizes.copy(), np.ones_like(sizes), cell


@inline
def _locate(references, clip, frame, query, grid, scratch):
    """Set origin etc. of a query: location = origin + offset / divisor * scale.

    Dimensions of ``references`` (B, Tq, Lq, L, 2 or 4) of size 1 are broadcast.
    """
    reference = references[
        min(clip, references.shape[0] - 1),
        min(frame, references.shape[1] - 1),
        min(query, references.shape[2] - 1),
    ]
    sizes, _, points = grid
    origin, divisor, scale, _ = scratch
    half = sizes.dtype.type(0.5)
    for level in range(sizes.shape[1] // points):
        source = min(level, reference.shape[0] - 1)
        for axis in range(2):
            for k in range(level * points, (level + 1) * points):
                origin[axis, k] = reference[source, axis]
            if reference.shape[1] == 4:
                for k in range(level * points, (level + 1) * points):
                    divisor[axis, k] = points
                    scale[axis, k] = reference[source, 2 + axis] * half


@inline_in_order
def _positions(offset, origin, divisor, scale, size, position):
    """Coordinates in pixels along one axis, rounded as by mmcv and grid_sample.

    Other formulas for the same position move it by up to 1e-5 pixels. Element 2 * k
    of ``offset`` belongs to sample k.
    """
    one = size.dtype.type(1)
    half = size.dtype.type(0.5)
    for k in range(size.shape[0]):
        location = origin[k] + offset[2 * k] / divisor[k] * scale[k]
        normalized = location + location - one
        position[k] = (normalized + one) * (size[k] * half) - half


@inline
def _neighbours(position, size, low, high, low_weight, high_weight, has_low, has_high):
    """Both neighbours along one axis: clamped index, weight, existence (1 or 0).

    No branches, so that it is vectorized over the samples: a neighbour outside the
    level has weight 0.
    """
    zero = size.dtype.type(0)
    one = size.dtype.type(1)
    for k in range(size.shape[0]):
        last = size[k] - one
        # Written so that NaN ends at -1, where both weights are 0.
        x = position[k] if position[k] > -one else -one
        x = x if x < size[k] else size[k]
        cell = np.floor(x)
        exists0 = one if (cell >= zero) & (cell <= last) else zero
        exists1 = one if (cell < last) & (x > -one) else zero
        has_low[k] = exists0
        has_high[k] = exists1
        low_weight[k] = exists0 * (one - (x - cell))
        high_weight[k] = exists1 * (x - cell)
        low[k] = np.int32(min(max(cell, zero), last))
        high[k] = np.int32(min(cell + one, last))


@inline
def _corner(column, line, width, first_row, base, share, wx, wy, index, weight):
    for k in range(share.shape[0]):
        index[k] = base + first_row[k] + line[k] * np.int32(width[k]) + column[k]
        weight[k] = share[k] * wx[k] * wy[k]


@inline
def _sample(offsets, share, grid, base, scratch, side, index, weight):
    """Rows of the four neighbours of K samples and their weights.

    Args:
        offsets: (K * 2,) raw offsets.
        share: (K,) attention weights.
        grid: the result of :func:`_grid`.
        base: row of the first token.
        scratch: set by :func:`_locate`; its cell takes columns x0, x1, lines y0, y1.
        side: (8, K) result, interpolation weights of x0, x1, y0, y1, and whether
            they exist (1 or 0).
        index, weight: (4, K) results in the order (x0,y0), (x1,y0), (x0,y1), (x1,y1).
    """
    origin, divisor, scale, cell = scratch
    sizes, first_row, _ = grid
    for axis in range(2):
        position = weight[axis]  # free until the weights are written
        _positions(
            offsets[axis:],
            origin[axis],
            divisor[axis],
            scale[axis],
            sizes[axis],
            position,
        )
        _neighbours(
            position,
            sizes[axis],
            cell[2 * axis],
            cell[2 * axis + 1],
            side[2 * axis],
            side[2 * axis + 1],
            side[4 + 2 * axis],
            side[5 + 2 * axis],
        )
    for corner in range(4):
        x = corner % 2
        y = 2 + corner // 2
        _corner(
            cell[x],
            cell[y],
            sizes[0],
            first_row,
            base,
            share,
            side[x],
            side[y],
            index[corner],
            weight[corner],
        )


@inline
def _softmax(logits, present, share):
    """Softmax over the K logits of each present relative frame.

    Args:
        logits: (R, K).
        present: (N,) indices of the relative frames that exist.
        share: (N or more, K) result.

    Returns:
        Logarithm of the sum of the exponentials.
    """
    top = share.dtype.type(-np.inf)
    for r in present:
        top = max(top, highest(logits[r]))
    total = share.dtype.type(0)
    for slot in range(present.shape[0]):
        total += _exponentials(logits[present[slot]], top, share[slot])
    scale = share.dtype.type(1) / total
    for slot in range(present.shape[0]):
        for k in range(share.shape[1]):
            share[slot, k] *= scale
    return top + share.dtype.type(math.log(total))


@kernel
def forward(
    start,
    stop,
    value,
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

    Head by head, so that the values that neighbouring queries sample stay in cache.

    Args:
        value: (B, Tv, M, S, D).
        shapes: (L, 2) int64, (height, width).
        references: (B or 1, Tq or 1, Lq or 1, L or 1, 2 or 4).
        offsets: (B, Tq, Lq, M, R, K * 2).
        logits: (B, Tq, Lq, M, R, K).
        relative_frames: (R,) int64.
        output: (B, Tq, Lq, M, D), written.
        log_sums: (B, Tq, Lq, M), written: logarithm of the softmax denominator.
    """
    _, value_frames, heads, tokens, _ = value.shape
    _, query_frames, queries, _, relatives, samples = logits.shape
    dtype = value.dtype.type
    grid = _grid(shapes, samples // shapes.shape[0], dtype)
    scratch = _scratch(grid)
    side = np.empty((8, samples), dtype)
    share = np.empty((relatives, samples), dtype)
    present = np.empty(relatives, np.int64)
    index = np.empty((relatives, 4, samples), np.int32)
    weight = np.empty((relatives, 4, samples), dtype)
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
        _locate(references, clip, frame, query, grid, scratch)
        log_sums[at] = _softmax(logits[at], present[:number], share)
        for slot in range(number):
            r = present[slot]
            source = first_frame + frame + relative_frames[r]
            base = ((clip * value_frames + source) * heads + head) * tokens
            _sample(
                offsets[at][r],
                share[slot],
                grid,
                base,
                scratch,
                side,
                index[slot],
                weight[slot],
            )
        gather(
            value.reshape(-1),
            index.reshape(-1),
            weight.reshape(-1),
            number * 4 * samples,
            output[at],
        )


@inline
def _gradients(share, gradient, output, dot, side, grad_positions, grad_logits):
    """Gradients of K sampling positions (pixels) and logits of one query and head.

    Args:
        gradient, output: (D,) of this query and head, over all relative frames.
        dot: (4, K) products of ``gradient`` with the values at the four neighbours.
        side: see :func:`_sample`.
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


@kernel
def backward(
    start,
    stop,
    value,
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
        grad_value: (B, Tv, M, S, D), written.
        grad_positions: (B, Tq, Lq, M, R, K * 2), written: gradient of the sampling
            positions in pixels of their level.
        grad_logits: (B, Tq, Lq, M, R, K), written.
    """
    _, value_frames, heads, _, _ = value.shape
    _, query_frames, queries, _, relatives, samples = logits.shape
    dtype = value.dtype.type
    grid = _grid(shapes, samples // shapes.shape[0], dtype)
    scratch = _scratch(grid)
    share = np.empty(samples, dtype)
    side = np.empty((8, samples), dtype)
    index = np.empty((4, samples), np.int32)
    weight = np.empty((4, samples), dtype)
    dot = np.empty((4, samples), dtype)
    for item in range(start, stop):
        head = item % heads
        source = item // heads % value_frames
        clip = item // (heads * value_frames)
        grad_value[clip, source, head] = 0
        table = value[clip, source, head].reshape(-1)
        grad_table = grad_value[clip, source, head].reshape(-1)
        for r in range(relatives):
            frame = source - first_frame - relative_frames[r]
            if not 0 <= frame < query_frames:
                continue
            for query in range(queries):
                at = (clip, frame, query, head)
                _locate(references, clip, frame, query, grid, scratch)
                _exponentials(logits[at][r], log_sums[at], share)
                _sample(offsets[at][r], share, grid, 0, scratch, side, index, weight)
                scatter(
                    table,
                    grad_table,
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
