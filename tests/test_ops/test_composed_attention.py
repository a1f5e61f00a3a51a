"""The weights of the attention against PyTorch's softmax."""

import pytest
import torch

from mmtaformer.ops.composed_attention import normalized_weights


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("points", [1, 4, 5, 6])
def test_weights_are_the_softmax_of_rows_shorter_and_longer_than_a_vector(
    points: int, dtype: torch.dtype
) -> None:
    logits = 30 * torch.randn(2, 3, 5, 2, 1, 3, points, dtype=dtype)
    logits.requires_grad_()
    expected = logits.flatten(4).softmax(-1).view_as(logits)
    weights = normalized_weights(logits, [(0, 3)])
    torch.testing.assert_close(weights, expected)

    grad = torch.randn_like(logits)
    (expected_grad,) = torch.autograd.grad(expected, logits, grad)
    (found_grad,) = torch.autograd.grad(weights, logits, grad)
    torch.testing.assert_close(found_grad, expected_grad)


def test_missing_frames_have_no_weight_even_beside_large_logits() -> None:
    logits = torch.full((1, 2, 1, 1, 2, 1, 3), 1e38)
    weights = normalized_weights(logits, [(1, 2), (0, 2)])
    third = torch.full((3,), 1 / 3)
    torch.testing.assert_close(weights[0, 0].flatten(), torch.cat([0 * third, third]))
    torch.testing.assert_close(weights[0, 1].flatten(), torch.full((6,), 1 / 6))
