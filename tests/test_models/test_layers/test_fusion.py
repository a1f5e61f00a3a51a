import torch
from mmdet.registry import MODELS


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
