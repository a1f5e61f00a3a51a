import json
from pathlib import Path

import numpy as np

from mmtaformer.apis import init_model
from projects.taformer.figures import common, figure5

from ..helpers.figure_files import is_written


def test_maps(tiny_config, checkpoint, val_args, monkeypatch, tmp_path):
    """A row of frames and one of maps per model, for each video."""
    maps, heat_maps = [], figure5.heat_maps
    clips, save = [], figure5.save_sheet
    monkeypatch.setattr(figure5, "heat_maps", lambda m: maps.append(m) or heat_maps(m))
    monkeypatch.setattr(
        figure5, "save_sheet", lambda c, out: clips.extend(c) or save(c, out)
    )
    models = ["--model", "A", str(tiny_config), str(checkpoint)]
    models += ["--model", "B", str(tiny_config), str(checkpoint)]
    prefix = tmp_path / "out" / "figure"
    options = ["--num-frames", "2", "--device", "cpu", "--out", str(prefix)]
    figure5.main([*val_args, *models, *options])
    assert is_written(prefix)
    assert [list(clip.rows) for clip in clips] == [["frame", "A", "B"]] * 2
    expected = expected_maps(tiny_config, checkpoint, val_args)
    for video in range(2):
        for own in maps[2 * video : 2 * video + 2]:
            assert np.allclose(own[0], expected[video][0], atol=1e-4)
            assert np.allclose(own[1], expected[video][3], atol=1e-4)
    assert not np.allclose(expected[0][0], expected[0][3], atol=1e-3)


def expected_maps(config, checkpoint, val_args):
    """Means over channels, from what the encoder's last layer norm returns."""
    model = init_model(str(config), str(checkpoint), device="cpu")
    tokens, sizes = [], []
    model.backbone.register_forward_hook(
        lambda module, inputs, output: sizes.append(inputs[0].shape[-2:])
    )
    model.encoder.layers[-1].norm2.register_forward_hook(
        lambda module, inputs, output: tokens.append(output.detach().numpy())
    )
    for video in json.loads(Path(val_args[0]).read_text())["videos"]:
        common.predict(model, common.read_video(video, val_args[2]))
    # Eight pixels of what the network sees are a cell of the first level, row by row.
    height, width = (size // 8 for size in sizes[0])
    finest = [np.concatenate(list(t), axis=0)[:, : height * width] for t in tokens]
    channels = tokens[0].shape[-1]
    assert channels == 64
    means = [sum(f[..., c] for c in range(channels)) / channels for f in finest]
    return [mean.reshape(4, height, width) for mean in means]
