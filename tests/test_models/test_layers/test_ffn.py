"""Same function and gradients as mmcv's FFN, without copies of gradients."""

import copy

import torch
from mmcv.cnn.bricks.transformer import FFN

from mmtaformer.models.layers.ffn import build_ffn

CFG = dict(
    embed_dims=8,
    feedforward_channels=16,
    ffn_drop=0.0,
    act_cfg=dict(type="ReLU", inplace=True),
)


def gradients(ffn, tokens):
    (ffn(tokens) ** 2).sum().backward()
    return [tokens.grad.clone(), *(p.grad for p in ffn.parameters())]


def test_equals_mmcvs():
    torch.manual_seed(0)
    reference, ffn = FFN(**copy.deepcopy(CFG)), build_ffn(**CFG)
    ffn.load_state_dict(reference.state_dict())
    tokens = torch.randn(2, 3, 5, 8, requires_grad=True)
    expected = gradients(reference, tokens)
    tokens.grad = None
    for one, other in zip(gradients(ffn, tokens), expected, strict=True):
        assert torch.equal(one, other)


def test_no_view_is_changed_in_place():
    def names(node, found):
        if node is not None and node not in found:
            found.add(node)
            for parent, _ in node.next_functions:
                names(parent, found)
        return {type(n).__name__ for n in found}

    tokens = torch.randn(2, 3, 5, 8, requires_grad=True)
    graph = names(build_ffn(**CFG)(tokens).grad_fn, set())
    assert "ReluBackward0" in graph
    assert not {"AsStridedBackward0", "CopySlices"} & graph
    assert {"AsStridedBackward0", "CopySlices"} & names(
        FFN(**CFG)(tokens).grad_fn, set()
    )


def test_other_activations():
    ffn = build_ffn(**{**CFG, "act_cfg": dict(type="GELU")})
    assert any(isinstance(m, torch.nn.GELU) for m in ffn.modules())
