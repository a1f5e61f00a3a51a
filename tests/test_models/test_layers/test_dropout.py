"""Against PyTorch's dropout: frequencies, scale, gradients, modes and the generator."""

import pytest
import torch
from mmcv.cnn.bricks.transformer import FFN
from torch import nn

from mmtaformer.models.layers.dropout import Dropout, draw_dropped, replace_dropout


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_frequency(probability):
    torch.manual_seed(0)
    dropped = draw_dropped(torch.Size((999, 1001)), probability)
    # Five standard deviations.
    bound = 5 * (probability * (1 - probability) / dropped.numel()) ** 0.5
    assert abs(dropped.float().mean() - probability) < bound
    for dim in (0, 1):  # and no pattern along rows or columns
        spread = dropped.float().mean(dim).std()
        expected = (probability * (1 - probability) / dropped.size(dim)) ** 0.5
        assert 0.8 * expected < spread < 1.2 * expected


def test_kept_elements_are_scaled_and_get_the_gradient():
    torch.manual_seed(0)
    tensor = torch.rand(7, 50, dtype=torch.float64, requires_grad=True)
    output = Dropout(0.2)(tensor)
    kept = output != 0
    assert 0 < kept.sum() < kept.numel()
    assert torch.equal(output[kept], tensor[kept] * (1 / 0.8))
    weight = torch.rand_like(tensor)
    (output * weight).sum().backward()
    assert torch.equal(tensor.grad, torch.where(kept, weight * (1 / 0.8), 0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_seed_decides(dtype):
    outputs = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        outputs.append(Dropout(0.5)(torch.ones(100, dtype=dtype)))
        assert outputs[-1].dtype is dtype
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])
    # Two calls in a row differ.
    assert not torch.equal(Dropout(0.5)(torch.ones(100)), Dropout(0.5)(torch.ones(100)))


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_nothing_or_everything_is_dropped(probability):
    output = Dropout(probability)(torch.ones(9))
    assert torch.equal(output, torch.full((9,), 1 - probability))


def test_evaluation_changes_nothing():
    tensor = torch.rand(3, 4)
    assert Dropout(0.5).eval()(tensor) is tensor
    assert Dropout(0.5)(torch.empty(0, 3)).shape == (0, 3)


def test_replaced_in_mmcvs_class():
    ffn = FFN(8, 16, ffn_drop=0.3)
    state = ffn.state_dict()
    assert replace_dropout(ffn) is ffn
    found = [m for m in ffn.modules() if isinstance(m, nn.Dropout)]
    assert len(found) == 2
    assert all(type(m) is Dropout and m.p == 0.3 for m in found)
    assert ffn.state_dict().keys() == state.keys()
    assert ffn.train()(torch.rand(2, 8)).shape == (2, 8)
