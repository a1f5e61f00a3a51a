import json
import shutil

import pytest
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmtaformer.apis import init_model
from mmtaformer.evaluation import evaluate_ytvis
from projects.taformer.figures import contribution as tool

from ..helpers.own_annotations import annotate_like


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
    given += ["--json", str(tmp_path / "figures.json")]
    capsys.readouterr()
    tool.main([str(truth), "--img-prefix", frames, *given])
    (row,) = [r for r in capsys.readouterr().out.splitlines() if "tiny" in r]
    cells = [cell.strip() for cell in row.strip("│┃ ").split("│")]
    assert cells[:2] == ["tiny", f"{100 * expected:.1f}"]
    assert len(cells) == 5
    figures = json.loads((tmp_path / "figures.json").read_text())["tiny"]
    assert list(figures) == list(tool.CASES)
    assert figures["as it is"] == pytest.approx(expected)


def test_only_what_looks_at_other_frames_is_kept_from_it(tiny_config):
    encoder, decoder = tool.CASES["both"]

    def looks(window, temporal_self_attn):
        cfg = Config.fromfile(tiny_config).model
        cfg.encoder.layer_cfg.self_attn_cfg.temporal_window = window
        cfg.decoder.temporal_self_attn = temporal_self_attn or None
        with DefaultScope.overwrite_default_scope("mmdet"):
            model = MODELS.build(cfg)
        return [tool.looks_at_others(model, kind) for kind in (encoder, decoder)]

    attention = Config.fromfile(tiny_config).model.decoder.temporal_self_attn
    assert looks(2, attention) == [True, True]
    assert looks(0, attention) == [False, True]
    assert looks(1, None) == [True, False]
