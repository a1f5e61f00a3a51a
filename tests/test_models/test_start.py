"""How every parameter starts: as in a fresh model of SeqFormer's released code.

One difference is harmless: the biases of feed-forward layers and of ``output_proj_box``
are drawn for each layer, where the released code copies the first layer's.
"""

import json
import math

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from torch import nn

from mmtaformer.models.layers.deformable_attention import FrameDeformableAttention

from ..helpers.golden import DATA_DIR, REPO_ROOT
from ..helpers.seqformer import renamed

SIZES = {
    "num_queries": 300,
    "encoder.num_layers": 2,
    "decoder.num_layers": 2,
    "backbone.init_cfg": None,
}


def fresh(name, seed=0, **options):
    """A model of a base config with two layers, as it starts."""
    config = Config(
        Config.fromfile(REPO_ROOT / f"configs/_base_/models/{name}.py").model
    )
    config.merge_from_dict(SIZES | options)
    torch.manual_seed(seed)
    model = MODELS.build(config._cfg_dict)
    model.init_weights()
    return model


@pytest.fixture(scope="module")
def taformer():
    return fresh("taformer_r50")


@pytest.fixture(scope="module")
def released():
    """What the released code's parameters start from, under their names here."""
    start = json.loads((DATA_DIR / "seqformer_start.json").read_text())
    numbers = {name: torch.tensor(number) for number, name in enumerate(start)}
    values = list(start.values())
    return {name: values[number] for name, number in renamed(numbers).items()}


def difference(value, start):
    """Why a parameter does not start as it should; None if it does."""
    if list(value.shape) != start["shape"]:
        return f"shape {tuple(value.shape)} instead of {start['shape']}"
    low, high, count = value.min().item(), value.max().item(), value.numel()
    if start["constant"] and count > 1:
        if not low == high == pytest.approx(start["max"], abs=1e-4):
            return f"from {low} to {high} instead of {start['max']} everywhere"
        return None
    if count < 100:  # one random number says little
        bound = 1 / math.sqrt(256) if start["constant"] else None
        if bound is not None and max(abs(low), abs(high)) > bound:
            return f"{high} is beyond the bound {bound}"
        if bound is None and (low, high) != (start["min"], start["max"]):
            return f"from {low} to {high} instead of {start['min']} to {start['max']}"
        return None
    # Five standard errors of what are at least uniform random numbers.
    spread = value.std().item() / start["std"]
    if abs(spread - 1) > 5 / math.sqrt(2 * count) + 1e-3:
        return f"deviation {value.std().item()} instead of {start['std']}"
    if abs(value.mean().item() - start["mean"]) > 10 * start["std"] / math.sqrt(count):
        return f"mean {value.mean().item()} instead of {start['mean']}"
    if count > 10_000 and start["max"] < 1 and high > 1.001 * start["max"]:
        return f"up to {high} instead of {start['max']}"
    return None


def test_every_parameter_starts_as_in_the_released_code(taformer, released):
    """TAFormer has them all, beside its temporal parts."""
    state = dict(taformer.named_parameters())
    found = {name: difference(state[name], start) for name, start in released.items()}
    assert {name: reason for name, reason in found.items() if reason} == {}
    new = [n for n in state if n not in released and not n.startswith("backbone.")]
    parts = (".temporal_", ".fusion.", "decoder.temporal_self_attns.", ".projector.")
    assert all(any(part in f".{name}" for part in parts) for name in new)


def test_a_start_that_is_wrong_is_found(released):
    name = "encoder.layers.0.self_attn.value_proj.weight"
    good = torch.empty(256, 256).uniform_(-0.10825, 0.10825)
    assert difference(good, released[name]) is None
    assert difference(good * 1.1, released[name])
    assert difference(torch.randn_like(good) * good.std(), released[name])
    zero = "encoder.layers.0.self_attn.sampling_offsets.weight"
    assert difference(good, released[zero])
    assert difference(torch.zeros(256, 256), released[zero]) is None


def attentions(model):
    found = [m for m in model.modules() if isinstance(m, FrameDeformableAttention)]
    assert len(found) == 4
    return found


def assert_directions(bias, heads, groups, points):
    """Head m looks at angle 2 pi m / M; its point k lies k + 1 pixels away."""
    bias = bias.detach().view(heads, groups, points, 2)
    for head in range(heads):
        x, y = (f(2 * math.pi * head / heads) for f in (math.cos, math.sin))
        longer = max(abs(x), abs(y))
        for group in range(groups):
            for point in range(points):
                expected = torch.tensor([x, y]) / longer * (point + 1)
                torch.testing.assert_close(
                    bias[head, group, point], expected, atol=1e-5, rtol=0
                )


def test_sampling_starts_in_all_directions(taformer):
    for attention in attentions(taformer):
        assert_directions(attention.sampling_offsets.bias, 8, 4, 4)


def test_temporal_sampling_starts_like_spatial_sampling(taformer):
    for layer in taformer.encoder.layers:
        attention = layer.self_attn
        assert not attention.temporal_sampling_offsets.weight.any()
        assert not attention.temporal_attention_weights.weight.any()
        assert not attention.temporal_attention_weights.bias.any()
        # Four neighbours of four levels.
        assert_directions(attention.temporal_sampling_offsets.bias, 8, 16, 4)


def bounds(layer):
    return layer.weight.abs().max().item(), layer.bias.abs().max().item()


def test_other_temporal_parts(taformer):
    for layer in taformer.encoder.layers:
        fusion = layer.self_attn.fusion
        for linear in (fusion.fc, fusion.gate_intra, fusion.gate_inter):
            # Xavier's distribution; PyTorch's for the bias.
            xavier = math.sqrt(6 / sum(linear.weight.shape))
            weight, bias = bounds(linear)
            assert 0.98 * xavier < weight <= xavier
            default = 1 / math.sqrt(linear.in_features)
            assert 0.8 * default < bias <= default
    (temporal,) = taformer.decoder.temporal_self_attns
    xavier = math.sqrt(6 / (4 * 256))
    weight = temporal.attn.in_proj_weight.abs().max().item()
    assert 0.98 * xavier < weight <= xavier
    assert not temporal.attn.in_proj_bias.any()
    assert not temporal.attn.out_proj.bias.any()
    assert (temporal.norm.weight == 1).all() and not temporal.norm.bias.any()
    for linear in (taformer.bbox_head.projector[0], taformer.bbox_head.projector[2]):
        assert all(0.9 / 16 < bound <= 1 / 16 for bound in bounds(linear))


def test_initialized_once_through_mmengine(monkeypatch):
    calls = []
    for cls in (FrameDeformableAttention, *FrameDeformableAttention.__subclasses__()):
        original = cls.init_weights

        def counted(self, cls=cls, original=original):
            calls.append((cls, self))
            original(self)

        monkeypatch.setattr(cls, "init_weights", counted)
    model = fresh("taformer_r50")
    for attention in attentions(model):
        assert calls.count((type(attention), attention)) == 1
        assert calls.count((FrameDeformableAttention, attention)) == 1
        assert attention.is_init


def test_start_depends_on_the_seed_alone():
    small = {"num_queries": 5, "backbone.depth": 18}
    models = [fresh("taformer_r50", seed, **small) for seed in (0, 0, 1)]
    values = [nn.utils.parameters_to_vector(m.parameters()) for m in models]
    assert torch.equal(values[0], values[1])
    assert not torch.equal(values[0], values[2])


def test_a_checkpoint_is_not_overwritten(tmp_path):
    small = {"num_queries": 5, "backbone.depth": 18}
    trained = fresh("taformer_r50", 3, **small)
    path = str(tmp_path / "trained.pth")
    torch.save(trained.state_dict(), path)
    init_cfg = dict(type="Pretrained", checkpoint=path)
    model = fresh("taformer_r50", 0, **small, init_cfg=init_cfg)
    for name, value in trained.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
