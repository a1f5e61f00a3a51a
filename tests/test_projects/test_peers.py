"""Other models on the same data by the same runner."""

import math

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmtaformer.synthvis import write_synthvis
from mmtaformer.utils.param_count import build_skeleton, count_trainable
from projects.taformer.peers.tracker import OneToOneMaskTrackRCNNTracker

from ..helpers.golden import REPO_ROOT

PEERS = sorted((REPO_ROOT / "projects/taformer/peers").glob("*_tiny_*.py"))
TAFORMER = REPO_ROOT / "configs/taformer/taformer_tiny_synthvis-deform.py"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    for split in ("train", "val"):
        write_synthvis(root, split, 1, 6, (96, 64), seed=0, difficulty="deform")
    return root


def test_there_are_peers():
    assert len(PEERS) == 2


def test_a_track_goes_to_the_detection_that_fits_best():
    tracker = OneToOneMaskTrackRCNNTracker()
    tracker.tracks = {4: None, 7: None}
    tracker.num_tracks = 8
    # Columns: a new track, track 4, track 7.
    scores = [[0, 3, 1], [0, 5, 2], [9, 0, 0], [0, 4, 1], [0, 1, 2]]
    ids, _ = tracker.assign_ids(torch.tensor(scores, dtype=torch.float32))
    assert ids.tolist() == [-1, 4, 8, -1, 7]


@pytest.mark.parametrize("path", PEERS, ids=lambda path: path.stem)
def test_they_are_as_large_as_taformer(path):
    own, other = (
        count_trainable(build_skeleton(Config.fromfile(file).model))
        for file in (TAFORMER, path)
    )
    assert own / 2 < other < 2 * own


@pytest.mark.parametrize("path", PEERS, ids=lambda path: path.stem)
def test_they_train_and_are_evaluated(path, data, tmp_path):
    config = Config.fromfile(path)
    config.merge_from_dict(
        {
            "work_dir": str(tmp_path),
            "train_cfg.max_epochs": 1,
            "train_cfg.val_interval": 1,
            "train_dataloader.batch_size": 3,
            "train_dataloader.dataset.data_root": f"{data}/",
            "val_dataloader.dataset.data_root": f"{data}/",
            "val_evaluator.ann_file": str(data / "val.json"),
            "param_scheduler": None,
            "custom_hooks": [],
            "log_level": "ERROR",
            "test_cfg": None,
            "test_dataloader": None,
            "test_evaluator": None,
        }
    )
    runner = Runner.from_cfg(config)
    runner.train()
    assert runner.iter == 2
    figures = runner.val()
    assert 0 <= figures["youtube_vis/AP"] <= 1
    assert all(p.isfinite().all() for p in runner.model.parameters())
    assert math.isfinite(runner.message_hub.get_scalar("train/loss").current())
