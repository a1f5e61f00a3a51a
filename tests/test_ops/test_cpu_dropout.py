import numpy as np
import pytest
import torch
from mmcv.cnn.bricks.transformer import FFN
from torch import nn
from torch.utils.checkpoint import checkpoint

from mmtaformer.ops import cpu_library, use_cpu_dropout
from mmtaformer.ops.cpu_dropout import CPUDropout, _dropout

_COUNTERS = 16


@pytest.fixture(autouse=True)
def kernels():
    assert cpu_library.is_available()


def philox(counter: int, seed: int) -> list[int]:
    """The ten rounds of Philox-4x32, one number after the other."""
    low = 2**32 - 1
    c0, c1, c2, c3 = counter & low, counter >> 32, 0, 0
    k0, k1 = seed & low, seed >> 32
    for _ in range(10):
        product0, product1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1 = (product1 >> 32) ^ c1 ^ k0, product1 & low
        c2, c3 = (product0 >> 32) ^ c3 ^ k1, product0 & low
        k0, k1 = (k0 + 0x9E3779B9) & low, (k1 + 0xBB67AE85) & low
    return [c0, c1, c2, c3]


def kept_elements(count: int, seed: int, p: float) -> torch.Tensor:
    """Which of so many elements stay; every element has 16 bits of its own."""
    draws: list[np.ndarray] = []
    for first in range(0, count, 8 * _COUNTERS):
        start = first // 8
        words = [philox(c, seed) for c in range(start, start + _COUNTERS)]
        draws.append(np.array(words, dtype=np.uint32).T.ravel().view(np.uint16))
    return torch.from_numpy(np.concatenate(draws)[:count] >= round(p * 2**16))


def test_philox_gives_the_published_numbers():
    assert philox(0, 0) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


@pytest.mark.parametrize("count", [1, 127, 128, 1000])
@pytest.mark.parametrize("seed", [0, 2**62 + 12345])
def test_mask_is_drawn_by_philox(count, seed):
    p = 0.3
    output = _dropout(torch.ones(count), torch.tensor(seed), p, False)
    kept = kept_elements(count, seed, p)
    expected = kept / (1 - round(p * 2**16) / 2**16)
    torch.testing.assert_close(output, expected.float())


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_share_and_mean_are_as_asked_for(p):
    torch.manual_seed(0)
    count = 10**6
    values = torch.rand(count) + 0.5
    output = CPUDropout(p)(values)
    deviation = (p * (1 - p) / count) ** 0.5
    dropped = (output == 0).double()
    assert abs(dropped.mean() - p) < 4 * deviation
    # Neighbours know nothing of one another.
    together = dropped[1:] @ dropped[:-1] / count
    assert abs(together - p**2) < 4 * (p**2 / count) ** 0.5
    assert abs(output.mean() / values.mean() - 1) < 5 * deviation / (1 - p)


def test_gradient_has_the_mask_of_the_forward_pass():
    values = torch.rand(5, 300).add_(1).requires_grad_()
    output = CPUDropout(0.4)(values)
    (grad,) = torch.autograd.grad(output.sum(), values)
    torch.testing.assert_close(grad, output.detach() / values.detach())


@pytest.mark.parametrize("relu", [False, True])
def test_operator_is_registered_and_differentiable(relu):
    values = torch.randn(3, 50, dtype=torch.float64, requires_grad=True)
    arguments = (torch.tensor(7), 0.25, relu)
    torch.library.opcheck(_dropout, (values, *arguments))
    assert torch.autograd.gradcheck(lambda x: _dropout(x, *arguments), values)
    assert torch.autograd.gradgradcheck(lambda x: _dropout(x, *arguments), values)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_relu_comes_first(dtype):
    values = torch.randn(9, 77).to(dtype).requires_grad_()
    (grad_output,) = torch.randn(1, 9, 77).to(dtype)
    arguments = (torch.tensor(5), 0.3)
    actual = _dropout(values, *arguments, True)
    expected = _dropout(values.relu(), *arguments, False)
    assert torch.equal(actual, expected)
    (grad,) = torch.autograd.grad(actual, values, grad_output)
    (wanted,) = torch.autograd.grad(expected, values, grad_output)
    torch.testing.assert_close(grad, wanted)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_types_have_the_same_mask(dtype):
    values, seed = torch.randn(7, 90), torch.tensor(3)
    output = _dropout(values.to(dtype), seed, 0.2, False)
    assert output.dtype == dtype
    expected = _dropout(values.to(dtype).float(), seed, 0.2, False).to(dtype)
    torch.testing.assert_close(output, expected)


def test_mask_depends_on_neither_strides_nor_threads():
    values, seed = torch.randn(40000, 3).t(), torch.tensor(11)
    expected = _dropout(values.contiguous(), seed, 0.5, False)
    before = torch.get_num_threads()
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        assert torch.equal(_dropout(values, seed, 0.5, False), expected)
    torch.set_num_threads(before)


def test_generator_of_pytorch_decides():
    layer, values = CPUDropout(0.5), torch.ones(1000)
    torch.manual_seed(1)
    first, second = layer(values), layer(values)
    torch.manual_seed(1)
    assert torch.equal(layer(values), first)
    assert not torch.equal(first, second)


def test_recomputation_draws_the_same_mask():
    layer = nn.Sequential(nn.Linear(20, 30), CPUDropout(0.5), nn.Linear(30, 1))
    values = torch.randn(64, 20)
    grads = []
    for recompute in (False, True):
        torch.manual_seed(5)
        layer.zero_grad()
        output = checkpoint(layer, values, use_reentrant=False) if recompute else None
        output = layer(values) if output is None else output
        output.sum().backward()
        grads.append([parameter.grad.clone() for parameter in layer.parameters()])
    for plain, recomputed in zip(*grads, strict=True):
        torch.testing.assert_close(plain, recomputed)


@pytest.mark.parametrize("p", [0.0, 1e-6, 1 - 1e-6, 1.0])
def test_what_16_bits_cannot_say_is_left_to_pytorch(p):
    values = torch.randn(1000)
    torch.manual_seed(0)
    output = CPUDropout(p)(values)
    torch.manual_seed(0)
    assert torch.equal(output, nn.functional.dropout(values, p))


def test_prediction_drops_nothing():
    values = torch.randn(10)
    assert CPUDropout(0.5).eval()(values) is values


def test_without_kernels_it_is_dropout_of_pytorch(monkeypatch):
    monkeypatch.setattr(cpu_library, "_load", lambda: False)
    values = torch.randn(100)
    torch.manual_seed(0)
    output = CPUDropout(0.5)(values)
    torch.manual_seed(0)
    assert torch.equal(output, nn.functional.dropout(values, 0.5))


class OtherDropout(nn.Dropout):
    pass


def test_dropouts_of_a_model_are_replaced_and_other_layers_kept():
    ffn = FFN(embed_dims=8, feedforward_channels=16, ffn_drop=0.1)
    model = nn.ModuleList([ffn, OtherDropout(0.2), nn.Dropout2d(0.3)])
    names = list(model.state_dict())
    use_cpu_dropout(model)
    kinds = [type(module) for module in model.modules()]
    assert kinds.count(CPUDropout) == 2  # in the hidden layer and behind the output
    assert nn.Dropout not in kinds
    assert {OtherDropout, nn.Dropout2d} < set(kinds)
    assert {m.p for m in ffn.modules() if isinstance(m, nn.Dropout)} == {0.1}
    assert list(model.state_dict()) == names


@pytest.mark.parametrize("loaded", [True, False])
def test_hidden_layer_is_relu_then_dropout(monkeypatch, loaded):
    monkeypatch.setattr(cpu_library, "_load", lambda: loaded)
    ffn = FFN(embed_dims=8, feedforward_channels=64, ffn_drop=0.5)
    use_cpu_dropout(ffn)
    hidden = ffn.layers[0]
    tokens = torch.randn(100, 8)
    activated = nn.functional.relu(hidden[0](tokens))
    assert torch.equal(hidden.eval()(tokens), activated)
    output = hidden.train()(tokens)
    kept = output != 0
    torch.testing.assert_close(output, 2 * activated * kept)
    share = kept.sum() / (activated > 0).sum()
    assert 0.45 < share < 0.55
