"""Spatio-temporal deformable attention in Triton, one forward and one backward kernel.

A program computes a block of queries for one head and one frame of a clip. In shapes,
Q stands for that block, D for the channels of a head and N = R * L * P for the samples
of a query and head. Whatever the tensors hold, arithmetic is in float32.

    position = reference * size - 1/2 + offset * scale               (pixels)
    weight   = exp(logit - log_sum), 0 in frames outside the clip
    output   = sum over samples of weight * bilinear(value, position)

Positions count from the centre of the first pixel. What lies outside a map is zero.
"""

import triton
import triton.language as tl

# No kernel of its own for sizes that happen to be 1 or a multiple of 16.
SIZES = [
    "reference_stride_b",
    "reference_stride_t",
    "reference_stride_q",
    "reference_stride_l",
    "first_frame",
    "frames",
    "queries",
    "value_frames",
    "tokens",
]


@triton.jit
def _log_sum_exp(
    logits,  # pointers (Q,) to the first sample of every query
    relative_frames,
    query_frame,
    value_frames,
    is_query,
    L: tl.constexpr,
    P: tl.constexpr,
    N: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """Logarithm of the softmax denominator (Q,), -inf where no frame exists."""
    sample = tl.arange(0, BLOCK_N)
    relative = tl.load(relative_frames + sample // (L * P), sample < N, other=0)
    source = query_frame + relative
    exists = (sample < N) & (source >= 0) & (source < value_frames)
    mask = is_query[:, None] & exists[None, :]
    logit = tl.load(logits[:, None] + sample[None, :], mask, other=float("-inf"))
    logit = logit.to(tl.float32)  # (Q, N)
    highest = tl.max(logit, 1)
    highest = tl.where(highest == float("-inf"), 0.0, highest)
    return highest + tl.log(tl.sum(tl.exp(logit - highest[:, None]), 1))


@triton.jit
def _reference_terms(
    references,  # pointers (Q,) to x of the references in a level
    is_query,
    height,
    width,
    P: tl.constexpr,
    BOXES: tl.constexpr,
):
    """Position without offset, and pixels per unit of offset, along x and y, (Q,)."""
    x = tl.load(references, is_query, other=0.0).to(tl.float32) * width - 0.5
    y = tl.load(references + 1, is_query, other=0.0).to(tl.float32) * height - 0.5
    if BOXES:
        box_width = tl.load(references + 2, is_query, other=0.0).to(tl.float32)
        box_height = tl.load(references + 3, is_query, other=0.0).to(tl.float32)
        scale_x = box_width * width / (2 * P)
        scale_y = box_height * height / (2 * P)
    else:
        scale_x = tl.full(x.shape, 1.0, tl.float32)
        scale_y = tl.full(y.shape, 1.0, tl.float32)
    return x, y, scale_x, scale_y


@triton.jit
def _sample(
    logits,  # pointers (Q,) to the sample
    offsets,  # pointers (Q,) to its x
    log_sum,
    origin_x,
    origin_y,
    scale_x,
    scale_y,
    is_used,
):
    """Weight, position in pixels, and offset of one sample of every query, (Q,)."""
    logit = tl.load(logits, is_used, other=0.0).to(tl.float32)
    weight = tl.where(is_used, tl.exp(logit - log_sum), 0.0)
    offset_x = tl.load(offsets, is_used, other=0.0).to(tl.float32)
    offset_y = tl.load(offsets + 1, is_used, other=0.0).to(tl.float32)
    x = origin_x + offset_x * scale_x
    y = origin_y + offset_y * scale_y
    return weight, x, y, offset_x, offset_y


@triton.jit
def _cell(x, y, is_used, height, width):
    """The four pixels around a position.

    A position whose four pixels are all outside the map, or that is not a number, goes
    to a place where they are.

    Returns:
        The token up and left; how far the position lies beyond it along x and y;
        whether the left, right, upper, lower pixels are inside. All (Q,).
    """
    is_near = is_used & (x > -1) & (x < width) & (y > -1) & (y < height)
    x = tl.where(is_near, x, -2.0)
    y = tl.where(is_near, y, -2.0)
    left = tl.floor(x)
    top = tl.floor(y)
    token = (top * width + left).to(tl.int32)
    has_right = (left >= -1) & (left + 1 < width)
    has_lower = (top >= -1) & (top + 1 < height)
    return token, x - left, y - top, left >= 0, has_right, top >= 0, has_lower


@triton.jit(do_not_specialize=SIZES)
def forward_kernel(
    value,  # (B, Tv, S, M, D)
    references,  # (B, Tq, Lq, L, 2 or 4), any strides
    offsets,  # (B, Tq, Lq, M, R, L, P, 2)
    logits,  # (B, Tq, Lq, M, R, L, P)
    levels,  # (L, 3): height, width, first token
    relative_frames,  # (R,)
    output,  # (B, Tq, Lq, M, D), written
    log_sums,  # (B, Tq, Lq, M), written
    reference_stride_b,
    reference_stride_t,
    reference_stride_q,
    reference_stride_l,
    first_frame,
    frames,
    queries,
    value_frames,
    tokens,
    R: tl.constexpr,
    L: tl.constexpr,
    P: tl.constexpr,
    M: tl.constexpr,
    D: tl.constexpr,
    BOXES: tl.constexpr,
    BLOCK_Q: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """Output and log-sum of a block of queries."""
    N: tl.constexpr = R * L * P
    head = tl.program_id(1)
    clip_frame = tl.program_id(2).to(tl.int64)
    clip = clip_frame // frames
    query_frame = (clip_frame % frames + first_frame).to(tl.int32)
    query = tl.program_id(0) * BLOCK_Q + tl.arange(0, BLOCK_Q)
    is_query = query < queries
    channel = tl.arange(0, BLOCK_D)[None, :]
    is_channel = channel < D
    row = query * M + head  # of the frame's (Lq, M)
    rows_before = clip_frame * queries * M
    offsets += rows_before * N * 2
    logits += rows_before * N
    output += rows_before * D
    log_sums += rows_before
    references += clip * reference_stride_b + clip_frame % frames * reference_stride_t
    reference = references + query * reference_stride_q

    log_sum = _log_sum_exp(
        logits + row * N,
        relative_frames,
        query_frame,
        value_frames,
        is_query,
        L,
        P,
        N,
        BLOCK_N,
    )
    result = tl.zeros((BLOCK_Q, BLOCK_D), tl.float32)
    for level in range(L):
        height = tl.load(levels + 3 * level)
        width = tl.load(levels + 3 * level + 1)
        first_token = tl.load(levels + 3 * level + 2)
        origin_x, origin_y, scale_x, scale_y = _reference_terms(
            reference + level * reference_stride_l, is_query, height, width, P, BOXES
        )
        for r in range(R):
            source = query_frame + tl.load(relative_frames + r)
            is_used = is_query & (source >= 0) & (source < value_frames)
            token_before = (clip * value_frames + source) * tokens + first_token
            map_of_head = value + (token_before * M + head) * D
            for p in range(P):
                sample = row * N + (r * L + level) * P + p
                weight, x, y, _, _ = _sample(
                    logits + sample,
                    offsets + 2 * sample,
                    log_sum,
                    origin_x,
                    origin_y,
                    scale_x,
                    scale_y,
                    is_used,
                )
                token, part_x, part_y, has_left, has_right, has_upper, has_lower = (
                    _cell(x, y, is_used, height, width)
                )
                place = (token * (M * D))[:, None] + channel
                for lower in tl.static_range(2):
                    share_y = weight * (part_y if lower else 1 - part_y)
                    has_row = has_lower if lower else has_upper
                    for right in tl.static_range(2):
                        share = share_y * (part_x if right else 1 - part_x)
                        is_inside = has_row & (has_right if right else has_left)
                        pixel = tl.load(
                            map_of_head + place + (lower * width + right) * (M * D),
                            is_inside[:, None] & is_channel,
                            other=0.0,
                        )
                        result += share[:, None] * pixel.to(tl.float32)

    tl.store(log_sums + row, log_sum, is_query)
    tl.store(
        output + (row * D)[:, None] + channel,
        result,
        is_query[:, None] & is_channel,
    )


@triton.jit(do_not_specialize=SIZES)
def backward_kernel(
    grad_output,  # (B, Tq, Lq, M, D)
    output,  # (B, Tq, Lq, M, D)
    log_sums,  # (B, Tq, Lq, M)
    value,  # as in forward_kernel, to relative_frames
    references,
    offsets,
    logits,
    levels,
    relative_frames,
    fixed_point_scale,  # (1,), read if DETERMINISTIC
    grad_value,  # (B, Tv, S, M, D) zeros, float32, or int64 if DETERMINISTIC; added to
    grad_references,  # (B, Tq, Lq, M, L, 2 or 4), written if REFERENCE_GRAD
    grad_offsets,  # (B, Tq, Lq, M, R, L, P, 2), written
    grad_logits,  # (B, Tq, Lq, M, R, L, P), written
    reference_stride_b,
    reference_stride_t,
    reference_stride_q,
    reference_stride_l,
    first_frame,
    frames,
    queries,
    value_frames,
    tokens,
    R: tl.constexpr,
    L: tl.constexpr,
    P: tl.constexpr,
    M: tl.constexpr,
    D: tl.constexpr,
    BOXES: tl.constexpr,
    REFERENCE_GRAD: tl.constexpr,
    DETERMINISTIC: tl.constexpr,
    BLOCK_Q: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """Gradients from a block of queries; weights and positions are computed again.

    With g = grad_output, the derivative along a logit is weight * (g . sampled - g .
    output), that along a position is weight * g . (difference of the corners).
    """
    N: tl.constexpr = R * L * P
    head = tl.program_id(1)
    clip_frame = tl.program_id(2).to(tl.int64)
    clip = clip_frame // frames
    query_frame = (clip_frame % frames + first_frame).to(tl.int32)
    query = tl.program_id(0) * BLOCK_Q + tl.arange(0, BLOCK_Q)
    is_query = query < queries
    channel = tl.arange(0, BLOCK_D)[None, :]
    is_channel = channel < D
    row = query * M + head
    rows_before = clip_frame * queries * M
    offsets += rows_before * N * 2
    logits += rows_before * N
    output += rows_before * D
    log_sums += rows_before
    grad_output += rows_before * D
    grad_offsets += rows_before * N * 2
    grad_logits += rows_before * N
    references += clip * reference_stride_b + clip_frame % frames * reference_stride_t
    reference = references + query * reference_stride_q

    place = (row * D)[:, None] + channel
    is_output = is_query[:, None] & is_channel
    grad = tl.load(grad_output + place, is_output, other=0.0).to(tl.float32)  # (Q, D)
    result = tl.load(output + place, is_output, other=0.0).to(tl.float32)
    grad_dot_output = tl.sum(grad * result, 1)  # (Q,)
    log_sum = tl.load(log_sums + row, is_query, other=0.0)
    if DETERMINISTIC:
        scale = tl.load(fixed_point_scale)
    for level in range(L):
        height = tl.load(levels + 3 * level)
        width = tl.load(levels + 3 * level + 1)
        first_token = tl.load(levels + 3 * level + 2)
        origin_x, origin_y, scale_x, scale_y = _reference_terms(
            reference + level * reference_stride_l, is_query, height, width, P, BOXES
        )
        sum_x = tl.zeros((BLOCK_Q,), tl.float32)  # of the references' gradients
        sum_y = tl.zeros((BLOCK_Q,), tl.float32)
        sum_w = tl.zeros((BLOCK_Q,), tl.float32)
        sum_h = tl.zeros((BLOCK_Q,), tl.float32)
        for r in range(R):
            source = query_frame + tl.load(relative_frames + r)
            is_used = is_query & (source >= 0) & (source < value_frames)
            token_before = (clip * value_frames + source) * tokens + first_token
            map_of_head = value + (token_before * M + head) * D
            grad_map_of_head = grad_value + (token_before * M + head) * D
            for p in range(P):
                sample = row * N + (r * L + level) * P + p
                weight, x, y, offset_x, offset_y = _sample(
                    logits + sample,
                    offsets + 2 * sample,
                    log_sum,
                    origin_x,
                    origin_y,
                    scale_x,
                    scale_y,
                    is_used,
                )
                token, part_x, part_y, has_left, has_right, has_upper, has_lower = (
                    _cell(x, y, is_used, height, width)
                )
                place = (token * (M * D))[:, None] + channel

                grad_dot_sampled = tl.zeros((BLOCK_Q,), tl.float32)
                slope_x = tl.zeros((BLOCK_Q,), tl.float32)
                slope_y = tl.zeros((BLOCK_Q,), tl.float32)
                for lower in tl.static_range(2):
                    share_y = part_y if lower else 1 - part_y
                    has_row = has_lower if lower else has_upper
                    for right in tl.static_range(2):
                        share_x = part_x if right else 1 - part_x
                        is_inside = has_row & (has_right if right else has_left)
                        mask = is_inside[:, None] & is_channel
                        pixel_place = place + (lower * width + right) * (M * D)
                        pixel = tl.load(map_of_head + pixel_place, mask, other=0.0)
                        grad_dot_pixel = tl.sum(grad * pixel.to(tl.float32), 1)
                        grad_dot_sampled += share_x * share_y * grad_dot_pixel
                        slope_x += (2 * right - 1) * share_y * grad_dot_pixel
                        slope_y += (2 * lower - 1) * share_x * grad_dot_pixel

                        grad_pixel = (weight * share_x * share_y)[:, None] * grad
                        if DETERMINISTIC:
                            grad_pixel = (grad_pixel * scale).to(tl.int64)
                        tl.atomic_add(
                            grad_map_of_head + pixel_place, grad_pixel, mask, "relaxed"
                        )

                grad_logit = weight * (grad_dot_sampled - grad_dot_output)
                tl.store(grad_logits + sample, grad_logit, is_query)
                grad_x = weight * slope_x
                grad_y = weight * slope_y
                tl.store(grad_offsets + 2 * sample, grad_x * scale_x, is_query)
                tl.store(grad_offsets + 2 * sample + 1, grad_y * scale_y, is_query)
                sum_x += grad_x
                sum_y += grad_y
                sum_w += grad_x * offset_x
                sum_h += grad_y * offset_y
        if REFERENCE_GRAD:
            coordinates: tl.constexpr = 4 if BOXES else 2
            target = rows_before * L * coordinates + (row * L + level) * coordinates
            target += grad_references
            tl.store(target, sum_x * width, is_query)
            tl.store(target + 1, sum_y * height, is_query)
            if BOXES:
                tl.store(target + 2, sum_w * width / (2 * P), is_query)
                tl.store(target + 3, sum_h * height / (2 * P), is_query)
