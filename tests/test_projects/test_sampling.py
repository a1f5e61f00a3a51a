import numpy as np
import pytest
import torch
from torch import nn

from mmtaformer.apis import init_model
from mmtaformer.evaluation import load_ground_truth
from mmtaformer.synthvis import write_synthvis
from projects.taformer.figures import sampling as tool

from ..helpers.figure_files import is_written


@pytest.fixture(scope="module")
def hiding(tmp_path_factory):
    """Videos of eight frames that hide their objects in some."""
    root = tmp_path_factory.mktemp("deform")
    write_synthvis(root, "val", 2, 8, (96, 64), 0, "deform")
    return root


@pytest.fixture
def args(hiding, tiny_config, checkpoint):
    frames = str(hiding / "val" / "JPEGImages")
    model = ["--model", "A", str(tiny_config), str(checkpoint), "--device", "cpu"]
    return [str(hiding / "val.json"), "--img-prefix", frames, *model]


def test_the_hidden_frame(hiding):
    """The object is annotated there, not drawn, and known around it."""
    truth = load_ground_truth(hiding / "val.json")
    own = [entry for entry in truth["annotations"] if entry["video_id"] == 1]
    hidden = tool.find_hidden(own, 2)
    assert 2 <= hidden.frame < 6
    (entry,) = [
        entry
        for entry in own
        if entry["visibilities"][hidden.frame] == 0
        and hidden.masks[hidden.frame].sum() == entry["areas"][hidden.frame]
    ]
    areas = [mask.sum() for mask in hidden.masks]
    assert areas == [area or 0 for area in entry["areas"]]
    others = [t for t in range(2, 6) if any(e["visibilities"][t] == 0 for e in own)]
    assert abs(2 * hidden.frame - 8) == min(abs(2 * t - 8) for t in others)
    ys, xs = np.nonzero(hidden.masks[hidden.frame])
    assert hidden.middle == (np.mean(xs) + 0.5, np.mean(ys) + 0.5)
    assert tool.find_hidden(own, 4) is None


def fix_sampling(attention, prefix, steps):
    """All samples of a frame go the same way, with weights by frame."""
    heads, frames = attention.num_heads, len(steps)
    offsets = getattr(attention, f"{prefix}sampling_offsets")
    weights = getattr(attention, f"{prefix}attention_weights")
    for layer in (offsets, weights):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    with torch.no_grad():
        for i, (x, y) in enumerate(steps):
            view = offsets.bias.view(heads, frames, -1, 2)
            view[:, i] = torch.tensor([x, y], dtype=torch.float32)
            weights.bias.view(heads, frames, -1)[:, i] = float(np.log(i + 1.0))


def test_samples(hiding, tiny_config, checkpoint):
    """Steps of cells are steps of pixels by level, around the query."""
    model = init_model(str(tiny_config), str(checkpoint), device="cpu")
    attention = tool.temporal_attention(model, 0)
    relative = attention.relative_frames
    steps = [(r, -2 * r) for r in relative]
    fix_sampling(attention, "", [(0, 0)])
    fix_sampling(attention, "temporal_", steps)
    frames = [np.full((96, 160, 3), 9 * t, np.uint8) for t in range(8)]
    masks = np.zeros((8, 96, 160), bool)
    masks[:, 30:36, 50:58] = True  # its middle is (54, 33)
    found = tool.sampled(model, attention, frames, tool.Hidden(3, masks))
    assert sorted(found) == sorted([0, *relative])
    # The cell of stride 8 with this middle has its own at (52, 36).
    assert np.allclose(found[0].points, [52, 36], atol=1e-3)
    assert found[0].weights.sum() == pytest.approx(1)
    for i, r in enumerate(relative):
        strides = (found[r].points - [52, 36]) / [r, -2 * r]
        # 20 x 12, 10 x 6, 5 x 3 and 3 x 2 cells.
        expected = np.array([[8, 8], [16, 16], [32, 32], [160 / 3, 48]])
        assert np.allclose(np.unique(strides.round(2), axis=0), expected, atol=0.01)
        share = (i + 1) / sum(range(1, len(relative) + 1))
        assert found[r].weights.sum() == pytest.approx(share)


def test_figure(args, tmp_path):
    prefix = tmp_path / "out" / "figure"
    tool.main([*args, "--out", str(prefix)])
    assert is_written(prefix)


def test_what_cannot_be_shown(args, tmp_path, synthvis_root):
    with pytest.raises(SystemExit, match="the encoder has layers 0 to 0"):
        tool.main([*args, "--layer", "1"])
    args[0] = str(synthvis_root / "val.json")
    with pytest.raises(SystemExit, match="annotation 1 has no visibilities"):
        tool.main(args)
