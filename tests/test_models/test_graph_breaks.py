"""`torch.compile` takes encoder, decoder and head whole."""

import pytest
import torch
from torch._dynamo.utils import counters

import mmtaformer  # noqa: F401

from ..helpers.models import build_tiny

# Small enough to trace in seconds; the decoder's second layer differs from the first.
SIZE = (64, 96)
LAYERS = {
    "encoder.num_layers": 1,
    "decoder.num_layers": 2,
    "bbox_head.num_layers": 2,
}


@pytest.fixture
def counted():
    torch._dynamo.reset()
    counters.clear()
    yield counters["graph_break"]
    torch._dynamo.reset()


def outputs(model, clip: torch.Tensor) -> list[torch.Tensor]:
    """What the decoder hands to the head, for every layer."""
    results = []
    for layer in model(clip, mode="tensor"):
        results += [value for value in vars(layer).values() if torch.is_tensor(value)]
    return results


@pytest.mark.parametrize(
    "name, training", [("taformer_tiny", True), ("seqformer_tiny", False)]
)
def test_encoder_and_decoder_have_no_graph_breaks(counted, name, training):
    model = build_tiny(name, **LAYERS).train(training)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    generator = torch.Generator().manual_seed(0)
    clip = torch.randn(1, 3, 3, *SIZE, generator=generator)
    with torch.set_grad_enabled(training):
        expected = outputs(model, clip)
        model.encoder.compile(backend="eager")
        model.decoder.compile(backend="eager")
        actual = outputs(model, clip)
    assert counters["stats"]["unique_graphs"] == 2
    assert dict(counted) == {}
    for ours, theirs in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_mask_head_has_no_graph_breaks(counted):
    model = build_tiny(**LAYERS)
    head = model.bbox_head.mask_head
    memories = []
    model.encoder.register_forward_hook(
        lambda module, args, output: memories.append(output)
    )
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        layer = model(torch.randn(1, 3, 3, *SIZE, generator=generator), mode="tensor")
        query = layer[-1].instance_query[0, :4]
        points = 64 * torch.rand(4, 3, 2, generator=generator)

        def masks(memory, query, points):
            return head(query, head.mask_features(memory)[0], points)

        expected = masks(memories[0], query, points)
        actual = torch.compile(masks, backend="eager")(memories[0], query, points)
    assert counters["stats"]["unique_graphs"] == 1
    assert dict(counted) == {}
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)
