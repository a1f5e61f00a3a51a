import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import Dataset

import mmtaformer  # noqa: F401
from mmtaformer.visualization import track_color

from ..helpers import toy

LABELS = {5: 0, 0: 1}


class ToyVideos(Dataset):
    """The videos of ``toy.ground_truth()``; an item is a predicted video."""

    metainfo = {"classes": toy.CLASSES}

    def __init__(self, folder, as_rle):
        self.samples = []
        for video in toy.ground_truth()["videos"]:
            entries = [e for e in toy.perfect_results() if e["video_id"] == video["id"]]
            sample = toy.track_sample(video["id"], entries, LABELS, 2, as_rle)
            for t, name in enumerate(video["file_names"]):
                path = Path(folder) / name
                path.parent.mkdir(exist_ok=True)
                cv2.imwrite(str(path), np.full((*toy.SIZE, 3), 90, np.uint8))
                sample[t].set_metainfo({"img_path": str(path)})
            self.samples.append(sample)

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        return self.samples[index]


class Replay(BaseModel):
    """A model that returns the predictions it is given."""

    def forward(self, samples, mode):
        return samples

    def test_step(self, data):
        return data

    val_step = test_step


@pytest.fixture
def run(tmp_path):
    def run(phase="test", as_rle=False, visualizer=None, log_level="ERROR", **hook):
        ann_file = tmp_path / "gt.json"
        ann_file.write_text(json.dumps(toy.ground_truth()))
        loader = {
            "dataset": ToyVideos(tmp_path, as_rle),
            "batch_size": 1,
            "num_workers": 0,
            "sampler": {"type": "DefaultSampler", "shuffle": False},
        }

        runner = Runner(
            model=Replay(),
            work_dir=str(tmp_path / "work"),
            default_scope="mmdet",
            custom_hooks=[{"type": "VideoVisualizationHook", **hook}],
            visualizer=visualizer,
            log_level=log_level,
            experiment_name=f"{tmp_path.name}_{phase}_{as_rle}",
            **{
                f"{phase}_dataloader": loader,
                f"{phase}_evaluator": {
                    "type": "YTVISMetric",
                    "ann_file": str(ann_file),
                },
                f"{phase}_cfg": {},
            },
        )
        return getattr(runner, phase)()

    return run


def read(path):
    with av.open(str(path)) as container:
        return [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]


@pytest.mark.parametrize("as_rle", [False, True])
def test_one_video_per_tested_video(run, tmp_path, as_rle):
    out = tmp_path / "out"
    figures = run(as_rle=as_rle, out_dir=str(out), scale=8)
    assert figures["youtube_vis/AP"] == pytest.approx(1)
    names = {path.name for path in out.iterdir()}
    assert names == {"0_clip0.mp4", "7_clip7.mp4"}
    frames = read(out / "7_clip7.mp4")
    assert len(frames) == 2 and frames[0].shape == (192, 320, 3)
    blended = (np.array(track_color(0)) + 90) / 2
    inside = frames[0][60:110, 180:300].reshape(-1, 3)
    assert np.abs(np.median(inside, axis=0) - blended).max() < 12
    assert np.abs(frames[0][:, :100].astype(int) - 90).max() < 12
    assert np.abs(frames[1].astype(int) - 90).max() < 12  # absent there


def test_score_threshold_and_number_of_videos(run, tmp_path):
    out = tmp_path / "out"
    run(out_dir=str(out), score_thr=0.95, num_videos=1)
    assert [path.name for path in out.iterdir()] == ["0_clip0.mp4"]
    for frame in read(out / "0_clip0.mp4"):
        assert np.abs(frame.astype(int) - 90).max() < 12


def test_draws_only_when_told_to(run, tmp_path):
    before = set(tmp_path.iterdir())
    run()
    run(phase="val", out_dir=str(tmp_path / "out"))
    created = {path.name for path in set(tmp_path.iterdir()) - before}
    assert created == {"work", "gt.json", "clip0", "clip7"}


def test_it_says_how_many_are_shown(run, tmp_path, capsys):
    run(out_dir=str(tmp_path / "out"), score_thr=0.95, log_level="INFO")
    logged = "".join(capsys.readouterr())
    assert "0_clip0.mp4: 0 of 1 shown, best score 0.90" in logged


def test_validation(run, tmp_path):
    run(phase="val", out_dir=str(tmp_path / "out"), draw_val=True)
    names = {path.name for path in (tmp_path / "out" / "val_iter_0").iterdir()}
    assert names == {"0_clip0.mp4", "7_clip7.mp4"}
    assert torch.is_grad_enabled()


def test_validation_goes_to_the_backends_of_the_visualizer(run, tmp_path):
    """Without out_dir the videos lie in the folder of the run."""
    run(
        phase="val",
        draw_val=True,
        num_videos=1,
        visualizer={
            "type": "TrackVisualizer",
            "vis_backends": [{"type": "LocalVisBackend"}],
            "scale": 2,
        },
    )
    (picture,) = (tmp_path / "work").rglob("vis_image/val_video_0_0.png")
    assert cv2.imread(str(picture)).shape == (48, 80, 3)
    (video,) = (tmp_path / "work").rglob("videos/val_iter_0/*.mp4")
    assert video.name == "0_clip0.mp4" and read(video)[0].shape == (48, 80, 3)
