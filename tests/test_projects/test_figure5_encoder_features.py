import figure5_encoder_features as figure5
import numpy as np
import pytest
from inference import load_model, open_videos
from mmengine.dataset import pseudo_collate

from .conftest import is_written


@pytest.fixture
def figures(monkeypatch):
    kept, save = [], figure5.save_figure

    def spy(figure, prefix):
        kept.append(figure)
        return save(figure, prefix)

    monkeypatch.setattr(figure5, "save_figure", spy)
    return kept


def test_maps(tiny_config, checkpoint, val_args, figures, tmp_path):
    """A row of frames and one of maps per model, for each video."""
    models = ["--model", "A", str(tiny_config), str(checkpoint)]
    models += ["--model", "B", str(tiny_config), str(checkpoint)]
    prefix = tmp_path / "out" / "figure"
    options = ["--num-frames", "2", "--device", "cpu", "--out", str(prefix)]
    figure5.main([*val_args, *models, *options])
    assert is_written(prefix)
    axes = figures[0].axes
    assert [ax.get_ylabel() for ax in axes[::2]] == ["frame", "A", "B"] * 2
    maps = expected_maps(tiny_config, checkpoint, val_args)
    for video in range(2):
        frame, first, second = (axes[6 * video + 2 * row :][:2] for row in range(3))
        assert frame[0].images[0].get_array().shape == (64, 96, 3)
        for column, t in enumerate((0, 3)):
            for row in (first, second):
                shown = np.asarray(row[column].images[0].get_array())
                assert np.allclose(shown, maps[video][t], atol=1e-4)
    assert not np.allclose(maps[0][0], maps[0][3], atol=1e-3)


def expected_maps(config, checkpoint, val_args):
    """Means over channels, from what the encoder's last layer norm returns."""
    model, cfg = load_model(str(config), str(checkpoint), "cpu")
    videos = open_videos(cfg, val_args[0], val_args[2])
    tokens = []
    model.encoder.layers[-1].norm2.register_forward_hook(
        lambda module, inputs, output: tokens.append(output.detach().numpy())
    )
    for index in range(2):
        model.test_step(pseudo_collate([videos[index]]))
    # 64 x 96 pixels are 8 x 12 cells of the first level, row by row.
    finest = [np.concatenate(list(t), axis=0)[:, : 8 * 12] for t in tokens]
    channels = tokens[0].shape[-1]
    assert channels == 64
    means = [sum(f[..., c] for c in range(channels)) / channels for f in finest]
    return [mean.reshape(4, 8, 12) for mean in means]
