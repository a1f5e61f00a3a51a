"""What is computed twice and what is not; gradients are those of the plain call."""

from unittest import mock

import torch
from torch import nn

from mmtaformer.models.layers.recomputation import recomputed
from mmtaformer.ops import spatio_temporal_deformable_attention

SHAPES = ((4, 6), (2, 3))


class Layer(nn.Module):
    """Linear layers around the operator, as in the encoder, with dropout."""

    def __init__(self):
        super().__init__()
        self.calls = 0
        self.offsets, self.logits = nn.Linear(8, 2 * 2 * 3 * 2), nn.Linear(8, 2 * 2 * 3)
        self.dropout = nn.Dropout(0.5)

    def forward(self, tokens):
        self.calls += 1
        samples = (2, 1, 2, 3)  # heads, frames, levels, points
        references = torch.full((1, 1, 30, 2, 2), 0.4)
        sampled = spatio_temporal_deformable_attention(
            tokens.unflatten(-1, (2, 4)),
            SHAPES,
            references,
            self.offsets(tokens).unflatten(-1, (*samples, 2)),
            self.logits(tokens).unflatten(-1, samples),
            (0,),
        )
        return self.dropout(sampled) ** 2


def gradients(function, layer, tokens):
    torch.manual_seed(0)
    function(tokens).sum().backward()
    found = [tokens.grad, *(p.grad for p in layer.parameters())]
    tokens.grad = None
    layer.zero_grad()
    return found


def test_gradients_and_calls():
    torch.manual_seed(1)
    layer, tokens = Layer(), torch.randn(1, 1, 30, 8, requires_grad=True)
    plain = gradients(layer, layer, tokens)
    assert all(grad.abs().max() > 0 for grad in plain)
    kernels = torch.ops.mmtaformer_cpu
    forward, layer.calls = mock.Mock(wraps=kernels.forward), 0
    with mock.patch.object(kernels, "forward", forward):
        again = gradients(lambda t: recomputed(layer, t), layer, tokens)
    assert layer.calls == 2
    assert forward.call_count == 1
    for one, other in zip(plain, again, strict=True):
        assert torch.equal(one, other)


def test_nothing_of_the_size_of_the_samples_is_kept():
    """Without recomputation offsets and weights are; with it the input is."""
    layer, tokens = Layer(), torch.randn(1, 1, 30, 8, requires_grad=True)
    samples = 30 * 2 * 2 * 3

    def kept(function):
        sizes = []

        def pack(tensor):
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            function(tokens)
        return sizes

    assert max(kept(layer)) == 2 * samples
    assert max(kept(lambda t: recomputed(layer, t)), default=0) < samples


def test_mixed_precision():
    layer, tokens = Layer(), torch.randn(1, 1, 30, 8, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        found = gradients(lambda t: recomputed(layer, t), layer, tokens)
    with torch.autocast("cpu", torch.bfloat16):
        expected = gradients(layer, layer, tokens)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
