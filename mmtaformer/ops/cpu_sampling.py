"""Where the samples of one query and head lie, and what they weigh (for Numba).

Symbols: L levels, P points, R relative frames; K = L * P samples per frame.
"""

import math

import numpy as np

from .simd import allocating, exp, highest, inline, inline_in_order


@inline
def exponentials(logits, offset, weights):
    """Set weights to exp(logits - offset), (K,), and return their sum."""
    total = weights.dtype.type(0)
    for k in range(weights.shape[0]):
        weights[k] = exp(logits[k] - offset)
        total += weights[k]
    return total


@inline
def softmax(logits, present, share):
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
        total += exponentials(logits[present[slot]], top, share[slot])
    scale = share.dtype.type(1) / total
    for slot in range(present.shape[0]):
        for k in range(share.shape[1]):
            share[slot, k] *= scale
    return top + share.dtype.type(math.log(total))


@allocating
def make_grid(shapes, points, reference_levels, dtype):
    """Level of the K samples.

    Returns:
        Index of its reference point (K,), its size (2, K: width, height), its first
        token (K,) and the number of points per level.
    """
    count = shapes.shape[0] * points
    levels = np.empty(count, np.uint32)  # unsigned: nothing to wrap around
    sizes = np.empty((2, count), dtype)
    first_token = np.empty(count, np.int32)
    row = 0
    for level in range(shapes.shape[0]):
        for k in range(level * points, (level + 1) * points):
            levels[k] = min(level, reference_levels - 1)
            sizes[0, k] = shapes[level, 1]
            sizes[1, k] = shapes[level, 0]
            first_token[k] = row
        row += shapes[level, 0] * shapes[level, 1]
    return levels, sizes, first_token, points


@allocating
def make_scratch(sizes):
    """Origin, divisor, scale (2, K) and cell (4, K) for :func:`sample`.

    Divisor and scale are those of reference points, the same for all queries.
    """
    cell = np.empty((4, sizes.shape[1]), np.int32)
    return np.empty_like(sizes), sizes.copy(), np.ones_like(sizes), cell


@inline
def locate(references, clip, frame, query, grid, scratch):
    """Set origin etc. of a query: location = origin + offset / divisor * scale.

    Dimensions of ``references`` (B, Tq, Lq, L, 2 or 4) of size 1 are broadcast.
    """
    reference = references[
        min(clip, references.shape[0] - 1),
        min(frame, references.shape[1] - 1),
        min(query, references.shape[2] - 1),
    ]
    levels, _, _, points = grid
    origin, divisor, scale, _ = scratch
    for k in range(levels.shape[0]):
        origin[0, k] = reference[levels[k], 0]
        origin[1, k] = reference[levels[k], 1]
    if reference.shape[1] == 4:
        half = origin.dtype.type(0.5)
        for k in range(levels.shape[0]):
            divisor[0, k] = points
            divisor[1, k] = points
            scale[0, k] = reference[levels[k], 2] * half
            scale[1, k] = reference[levels[k], 3] * half


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
def _corner(column, line, width, first_token, rows, share, wx, wy, index, weight):
    base, step = rows
    for k in range(share.shape[0]):
        token = first_token[k] + line[k] * np.int32(width[k]) + column[k]
        index[k] = base + token * step
        weight[k] = share[k] * wx[k] * wy[k]


@inline
def sample(offsets, share, grid, rows, scratch, side, index, weight):
    """Rows of the four neighbours of K samples and their weights.

    Args:
        offsets: (K * 2,) raw offsets.
        share: (K,) attention weights.
        grid: the result of :func:`make_grid`.
        rows: row of the first token, and number of rows from token to token.
        scratch: set by :func:`locate`; its cell takes the columns x0, x1, lines y0, y1.
        side: (8, K) result, interpolation weights of x0, x1, y0, y1, and whether
            they exist (1 or 0).
        index, weight: (4, K) results in the order (x0,y0), (x1,y0), (x0,y1), (x1,y1).
    """
    origin, divisor, scale, cell = scratch
    _, sizes, first_token, _ = grid
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
            first_token,
            rows,
            share,
            side[x],
            side[y],
            index[corner],
            weight[corner],
        )
