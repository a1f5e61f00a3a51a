import json
import pickle
import re
import zipfile

import pytest
from mmengine.config import Config


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("test.py")


@pytest.fixture
def cfg(tiny_config, tmp_path):
    cfg = Config.fromfile(tiny_config)
    cfg.work_dir = str(tmp_path)
    return cfg


@pytest.fixture(scope="module")
def tested_dir(tool, tiny_config, trained_dir, tmp_path_factory):
    """What a test run with all outputs writes."""
    out = tmp_path_factory.mktemp("tested")
    argv = [tiny_config, trained_dir / "epoch_2.pth", "--work-dir", out / "logs"]
    argv += ["--out", out / "results.json", "--show-dir", out / "videos"]
    tool.main([str(argument) for argument in argv])
    return out


def test_results_are_a_submission(tested_dir, synthvis_root):
    truth = json.loads((synthvis_root / "val.json").read_text())
    results = json.loads((tested_dir / "results.json").read_text())
    videos = {video["id"]: video for video in truth["videos"]}
    assert {entry["video_id"] for entry in results} == set(videos)
    for entry in results:
        video = videos[entry["video_id"]]
        assert len(entry["segmentations"]) == len(video["file_names"])
        assert entry["category_id"] in {c["id"] for c in truth["categories"]}
    with zipfile.ZipFile(tested_dir / "results.submission_file.zip") as archive:
        assert json.loads(archive.read("results.json")) == results


def test_show_dir_has_a_video_per_clip(tested_dir):
    videos = list((tested_dir / "videos").iterdir())
    assert [video.suffix for video in videos] == [".mp4", ".mp4"]
    assert all(video.stat().st_size > 0 for video in videos)


def test_predictions_as_data_samples(tool, tiny_config, trained_dir, tmp_path):
    out = tmp_path / "predictions.pkl"
    checkpoint = trained_dir / "epoch_2.pth"
    argv = [tiny_config, checkpoint, "--work-dir", tmp_path, "--out", out, "--amp"]
    tool.main([str(argument) for argument in argv])
    videos = pickle.loads(out.read_bytes())
    assert len(videos) == 2
    for video in videos:
        frames = video["video_data_samples"]
        assert [frame.frame_id for frame in frames] == [0, 1, 2, 3]
        masks = frames[0].pred_track_instances.masks
        assert masks and all(mask["size"] == [64, 96] for mask in masks)


def test_format_only_needs_no_annotations(tool, cfg, tmp_path):
    tool.write_predictions(cfg, None, format_only=True)
    assert cfg.test_evaluator.format_only
    assert cfg.test_evaluator.outfile_prefix == str(tmp_path / "results")
    tool.write_predictions(cfg, "sub/mission.json", format_only=True)
    assert cfg.test_evaluator.outfile_prefix == "sub/mission"


def test_other_metrics_are_kept(tool, cfg):
    cfg.test_evaluator = [dict(type="Other"), cfg.test_evaluator]
    tool.write_predictions(cfg, "a.json", format_only=False)
    assert [metric.type for metric in cfg.test_evaluator] == ["Other", "YTVISMetric"]
    assert "outfile_prefix" not in cfg.test_evaluator[0]
    tool.write_predictions(cfg, "a.pkl", format_only=False)
    assert [metric.type for metric in cfg.test_evaluator][2:] == ["DumpResults"]


def test_drawing_uses_the_hook_of_the_config(tool, cfg):
    others = len(cfg.custom_hooks)
    cfg.custom_hooks = [*cfg.custom_hooks, dict(type="VideoVisualizationHook", fps=3)]
    args = ["a.py", "b.pth", "--show-dir", "videos", "--score-thr", "0"]
    tool.draw_predictions(cfg, tool.parse_args(args))
    assert len(cfg.custom_hooks) == others + 1
    assert cfg.custom_hooks[-1] == dict(
        type="VideoVisualizationHook", fps=3, out_dir="videos", score_thr=0
    )
    args += ["--fps", "12.5", "--num-videos", "4"]
    tool.draw_predictions(cfg, tool.parse_args(args))
    assert cfg.custom_hooks[-1].fps == 12.5
    assert cfg.custom_hooks[-1].num_videos == 4


def test_drawing_options_need_a_folder(tool, capsys):
    with pytest.raises(SystemExit):
        tool.parse_args(["a.py", "b.pth", "--num-videos", "4"])
    assert "--num-videos is about drawing: add --show-dir" in capsys.readouterr().err


def test_another_model_is_refused_before_data_are_loaded(
    tool, trained_dir, tiny_config, tmp_path
):
    """A checkpoint of TAFormer in a config of SeqFormer."""
    config = tmp_path / "seqformer.py"
    config.write_text(
        f"_base_ = {str(tiny_config)!r}\n"
        "model = dict(positional_encoding=dict(temporal=False))\n"
        "model['decoder'] = dict(temporal_self_attn=None)\n"
        "test_dataloader = dict(dataset=dict(ann_file='none.json'))\n"
    )
    argv = [str(config), str(trained_dir / "epoch_2.pth"), "--work-dir", str(tmp_path)]
    with pytest.raises(SystemExit) as exit_info:
        tool.main(argv)
    message = str(exit_info.value)
    assert "epoch_2.pth is of another model than the config" in message
    assert "unknown to the model (decoder.temporal_self_attn" in message
    with pytest.raises(SystemExit, match=r"none\.json"):
        tool.main([*argv, "--partial-weights"])


def test_a_text_is_no_checkpoint(tool, tiny_config, tmp_path):
    path = tmp_path / "notes.pth"
    path.write_text("These are no weights.\n")
    with pytest.raises(SystemExit, match=r"error: .*notes\.pth") as exit_info:
        tool.main([str(tiny_config), str(path), "--work-dir", str(tmp_path)])
    assert "\n" not in str(exit_info.value)


def test_errors_are_one_sentence(tool, tiny_config, tmp_path, capsys):
    checkpoint = tmp_path / "epoch_1.pth"
    checkpoint.touch()
    other = "test_evaluator.type=Other"
    argv = [str(tiny_config), str(checkpoint)]
    for arguments, message in [
        ([argv[0], "none.pth"], "There is no checkpoint none.pth"),
        (["none.py", argv[1]], "There is no config none.py"),
        ([*argv, "--format-only", "--cfg-options", other], "need a YTVISMetric"),
    ]:
        with pytest.raises(SystemExit, match=re.escape(message)) as exit_info:
            tool.main(arguments)
        assert str(exit_info.value).startswith("error: ")
    with pytest.raises(SystemExit):
        tool.main([*argv, "--out", "results.txt"])
    assert "--out must end with .json or .pkl" in capsys.readouterr().err
