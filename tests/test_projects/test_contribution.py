import json
import shutil

import pytest
import torch

from mmtaformer.apis import init_model
from mmtaformer.evaluation import evaluate_ytvis
from mmtaformer.models.layers import (
    SpatioTemporalDeformableAttention,
    TemporalSelfAttention,
)
from mmtaformer.models.structures import ClipFeatures
from projects.taformer.figures import contribution as tool

from ..helpers.own_annotations import annotate_like

SHAPES = ((4, 6), (2, 3))


@pytest.fixture
def encoding():
    """The encoder's attention with weights that sample other frames, too."""
    torch.manual_seed(0)
    fusion = dict(type="AdditionFusion")
    layer = SpatioTemporalDeformableAttention(
        embed_dims=32, num_heads=4, num_levels=2, num_points=2, fusion=fusion
    )
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    reference_points = torch.rand(1, 30, 2, 2)

    def run(tokens, first=0, last=None):
        features = ClipFeatures(
            tokens=tokens,
            spatial_shapes=SHAPES,
            spatial_pos=torch.zeros(1, 30, 32),
            temporal_pos=None,
            reference_points=reference_points,
            valid_ratios=torch.ones(1, 2, 2),
        )
        return layer(tokens[:, first:last], features, first)

    return layer, run


@pytest.fixture
def decoding():
    """The decoder's temporal self-attention."""
    torch.manual_seed(0)
    layer = TemporalSelfAttention(embed_dims=32, num_heads=4, dropout=0.0)
    return layer, layer


@pytest.mark.parametrize("part", ["encoding", "decoding"])
def test_frame_sees_itself_only(request, part):
    """Its result does not depend on others, and on equal frames nothing changes."""
    layer, run = request.getfixturevalue(part)
    clip = torch.randn(1, 5, 30, 32)
    other = clip.clone()
    other[:, [0, 1, 3, 4]] = torch.randn(1, 4, 30, 32)
    still = clip[:, 2:3].repeat(1, 5, 1, 1)
    normal = run(still)
    assert not torch.allclose(run(clip)[:, 2], run(other)[:, 2], atol=1e-3)
    with tool.only_own_frames(layer, (type(layer),)):
        assert torch.equal(run(clip)[:, 2], run(other)[:, 2])
        assert not torch.allclose(run(clip)[:, 1], run(other)[:, 1], atol=1e-3)
        assert torch.allclose(run(clip)[:, 2], normal[:, 2], atol=1e-5)
        assert torch.allclose(run(still), normal, atol=1e-5)
    assert torch.equal(run(still), normal)


def test_frames_in_chunks(encoding):
    layer, run = encoding
    clip = torch.randn(1, 5, 30, 32)
    with tool.only_own_frames(layer, (SpatioTemporalDeformableAttention,)):
        chunks = [run(clip, 0, 2), run(clip, 2, 5)]
        assert torch.allclose(torch.cat(chunks, dim=1), run(clip), atol=1e-6)


def test_other_layers_stay(encoding):
    layer, _ = encoding
    with tool.only_own_frames(layer, (TemporalSelfAttention,)):
        assert "forward" not in vars(layer)


def test_average_precision_is_that_of_testing(
    load_tool, tiny_config, checkpoint, synthvis_root, tmp_path, capsys
):
    truth = tmp_path / "val.json"
    shutil.copy(synthvis_root / "val.json", truth)
    results = tmp_path / "results.json"
    argv = [tiny_config, checkpoint, "--work-dir", tmp_path / "w", "--out", results]
    load_tool("test.py").main([str(argument) for argument in argv])
    predicted = json.loads(results.read_text())
    annotate_like(predicted, truth)
    expected = evaluate_ytvis(str(truth), predicted)["AP"]
    assert 0 < expected < 1

    model = init_model(str(tiny_config), str(checkpoint), device="cpu")
    frames = str(synthvis_root / "val" / "JPEGImages")
    found = tool.average_precision(model, json.loads(truth.read_text()), frames, "")
    assert found == pytest.approx(expected)

    given = ["--model", "tiny", str(tiny_config), str(checkpoint), "--device", "cpu"]
    capsys.readouterr()
    tool.main([str(truth), "--img-prefix", frames, *given])
    (row,) = [r for r in capsys.readouterr().out.splitlines() if "tiny" in r]
    cells = [cell.strip() for cell in row.strip("│┃ ").split("│")]
    assert cells[:2] == ["tiny", f"{100 * expected:.1f}"]
    assert len(cells) == 5
