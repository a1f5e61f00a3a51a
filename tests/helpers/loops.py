"""Layers as plain loops over float64 arrays: definitions for tests to compare with."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

Array = NDArray[np.float64]


def array(tensor: torch.Tensor) -> Array:
    """The values of a tensor."""
    return tensor.detach().double().numpy()


def softmax(logits: Sequence[float]) -> list[float]:
    """Weights of some logits."""
    exponentials = [math.exp(logit) for logit in logits]
    return [value / sum(exponentials) for value in exponentials]


def linear(layer: nn.Linear, x: Array) -> Array:
    """A linear layer on (..., in): (..., out)."""
    weight, bias = array(layer.weight), array(layer.bias)
    result = np.empty((*x.shape[:-1], len(bias)))
    for index in np.ndindex(*x.shape[:-1]):
        for row in range(len(bias)):
            result[index][row] = sum(weight[row] * x[index]) + bias[row]
    return result


def layer_norm(norm: nn.LayerNorm, x: Array) -> Array:
    """Layer norm of each vector of (..., C)."""
    result = np.empty_like(x)
    for index in np.ndindex(*x.shape[:-1]):
        vector = x[index]
        mean = sum(vector) / len(vector)
        variance = sum((vector - mean) ** 2) / len(vector)
        unit = (vector - mean) / math.sqrt(variance + norm.eps)
        result[index] = unit * array(norm.weight) + array(norm.bias)
    return result


def feed_forward(ffn: nn.Module, x: Array) -> Array:
    """mmcv's FFN with ReLU, two layers and the residual connection."""
    hidden = linear(ffn.layers[0][0], x)
    return x + linear(ffn.layers[1], np.where(hidden > 0, hidden, 0))


def attention(
    layer: nn.MultiheadAttention, query: Array, key: Array, value: Array
) -> Array:
    """Multi-head attention of (N, C) queries to (M, C) keys and values."""
    dims = query.shape[1]
    weights = array(layer.in_proj_weight).reshape(3, dims, dims)
    biases = array(layer.in_proj_bias).reshape(3, dims)
    q, k, v = (
        np.array([weights[i] @ vector + biases[i] for vector in inputs])
        for i, inputs in enumerate((query, key, value))
    )
    size = dims // layer.num_heads
    result = np.zeros_like(query)
    for head in range(layer.num_heads):
        part = slice(head * size, (head + 1) * size)
        for n in range(len(q)):
            logits = [sum(q[n, part] * row[part]) / math.sqrt(size) for row in k]
            for weight, row in zip(softmax(logits), v, strict=True):
                result[n, part] += weight * row[part]
    return linear(layer.out_proj, result)


def bilinear(image: Array, x: float, y: float) -> Array:
    """Sample (H, W, D) at a position in [0, 1]; zero outside."""
    height, width, channels = image.shape
    x, y = x * width - 0.5, y * height - 0.5
    result = np.zeros(channels)
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < height and 0 <= column < width:
                weight = (1 - abs(x - column)) * (1 - abs(y - row))
                result += weight * image[row, column]
    return result


def deformable_attention(
    module: nn.Module,
    query: Array,
    tokens: Array,
    spatial_shapes: Sequence[tuple[int, int]],
    references: Array,
    padding: NDArray[np.bool_] | None = None,
) -> Array:
    """What queries sample in one frame, before the output projection.

    Args:
        module: With ``sampling_offsets``, ``attention_weights`` and ``value_proj``.
        query: (N, C).
        tokens: (S, C) of the frame.
        spatial_shapes: (H_l, W_l) of every level.
        references: (N, L, 2 or 4) in [0, 1].
        padding: (S,), True where the values are zero.
    """
    heads, levels, points = module.num_heads, module.num_levels, module.num_points
    value = linear(module.value_proj, tokens)
    if padding is not None:
        value[padding] = 0
    sizes = [height * width for height, width in spatial_shapes]
    maps = [
        level.reshape(height, width, heads, -1)
        for level, (height, width) in zip(
            np.split(value, np.cumsum(sizes)[:-1]), spatial_shapes, strict=True
        )
    ]
    offsets = linear(module.sampling_offsets, query)
    offsets = offsets.reshape(len(query), heads, levels, points, 2)
    logits = linear(module.attention_weights, query)
    logits = logits.reshape(len(query), heads, levels * points)
    result = np.zeros((len(query), heads, query.shape[1] // heads))
    for n in range(len(query)):
        for head in range(heads):
            weights = softmax(logits[n, head])
            for sample, weight in enumerate(weights):
                level, point = divmod(sample, points)
                height, width = spatial_shapes[level]
                reference = references[n, level]
                dx, dy = offsets[n, head, level, point]
                if len(reference) == 2:
                    dx, dy = dx / width, dy / height
                else:
                    dx, dy = (
                        dx / points * reference[2] / 2,
                        dy / points * reference[3] / 2,
                    )
                sampled = bilinear(
                    maps[level][:, :, head], reference[0] + dx, reference[1] + dy
                )
                result[n, head] += weight * sampled
    return result.reshape(len(query), -1)
