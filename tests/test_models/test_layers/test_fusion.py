import math

import pytest
import torch
from mmdet.registry import MODELS

from mmtaformer.models.layers import DynamicAttentionFusion
from mmtaformer.utils.errors import UsageError

from ...helpers.models import build_tiny


def test_dynamic_fusion_follows_equations_3_to_5():
    torch.manual_seed(0)
    fusion = MODELS.build(
        dict(type="DynamicAttentionFusion", embed_dims=12, channels=5)
    )
    intra, inter = torch.randn(2, 3, 7, 12), torch.randn(2, 3, 7, 12)

    total = intra + inter  # Eq. (3)
    hidden = (total @ fusion.fc.weight.T + fusion.fc.bias).clamp(min=0)
    g1 = hidden @ fusion.gate_intra.weight.T + fusion.gate_intra.bias
    g2 = hidden @ fusion.gate_inter.weight.T + fusion.gate_inter.bias
    w1 = g1.exp() / (g1.exp() + g2.exp())  # Eq. (4)
    w2 = g2.exp() / (g1.exp() + g2.exp())
    expected = intra * w1 + inter * w2  # Eq. (5)

    torch.testing.assert_close(fusion(intra, inter), expected)


def weights_of(fusion, hidden):
    """What spatial attention weighs in each channel, by the gates' softmax."""
    g1 = hidden @ fusion.gate_intra.weight.T + fusion.gate_intra.bias
    g2 = hidden @ fusion.gate_inter.weight.T + fusion.gate_inter.bias
    return torch.stack([g1, g2]).softmax(dim=0)[0]


@pytest.mark.parametrize("share", [0.5, 0.75, 0.1])
@torch.no_grad()
def test_share_of_spatial_attention_at_the_start(share):
    """The odds of the weights are those of 0.5, times share / (1 - share)."""
    torch.manual_seed(0)
    even = DynamicAttentionFusion(12, 5)
    torch.manual_seed(0)
    fusion = DynamicAttentionFusion(12, 5, intra_share=share)
    hidden = torch.rand(7, 5)
    own, others = weights_of(fusion, hidden), weights_of(even, hidden)
    odds = own / (1 - own) / (others / (1 - others))
    torch.testing.assert_close(odds, torch.full_like(odds, share / (1 - share)))
    changed = {
        name
        for name, value in even.state_dict().items()
        if not torch.equal(value, fusion.state_dict()[name])
    }
    assert changed == (
        set() if share == 0.5 else {"gate_intra.bias", "gate_inter.bias"}
    )


@torch.no_grad()
def test_share_of_gates_that_know_nothing():
    """Without the random part the share is exact."""
    torch.manual_seed(0)
    even = DynamicAttentionFusion(12, 5)
    torch.manual_seed(0)
    fusion = DynamicAttentionFusion(12, 5, intra_share=0.75)
    for name in ("gate_intra", "gate_inter"):
        gate = getattr(fusion, name)
        gate.weight.zero_()
        gate.bias -= getattr(even, name).bias
    ones = torch.ones(3, 12)
    torch.testing.assert_close(fusion(ones, 0 * ones), 0.75 * ones)


def test_start_outlives_the_initialization_of_the_encoder():
    def biases(share):
        options = {"encoder.layer_cfg.self_attn_cfg.fusion.intra_share": share}
        layer = build_tiny(**options).encoder.layers[0].self_attn.fusion
        return layer.gate_intra.bias, layer.gate_inter.bias

    (intra, inter), (even_intra, even_inter) = biases(0.8), biases(0.5)
    torch.testing.assert_close(intra - even_intra, torch.full((64,), math.log(2)))
    torch.testing.assert_close(even_inter - inter, torch.full((64,), math.log(2)))


@pytest.mark.parametrize("share", [0, 1.0, -0.2])
def test_shares_that_close_a_gate_are_refused(share):
    with pytest.raises(UsageError, match="intra_share=.* between 0 and 1"):
        DynamicAttentionFusion(intra_share=share)
