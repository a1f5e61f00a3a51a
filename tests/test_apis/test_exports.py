"""Tracks in the formats of other tools."""

import json

import cv2
import numpy as np
import pytest

from mmtaformer.datasets import YTVISDataset
from mmtaformer.evaluation import evaluate_ytvis

from ..helpers.tracks import COUNT, masks_of


def test_results_and_annotations_agree_in_the_official_evaluation(result, tmp_path):
    """What is written as ground truth is found by what is written as results."""
    content = result.to_coco_vid(tmp_path / "gt.json")
    entries = result.to_json(tmp_path / "results.json")
    assert json.loads((tmp_path / "gt.json").read_text()) == content
    assert json.loads((tmp_path / "results.json").read_text()) == entries
    figures = evaluate_ytvis(tmp_path / "gt.json", tmp_path / "results.json")
    assert figures["AP"] == pytest.approx(1)
    assert figures["category_names"] == {1: "cat", 2: "dog"}


def test_annotations_can_be_trained_on(result, tmp_path):
    result.to_coco_vid(tmp_path / "gt.json", image_dir=tmp_path / "images")
    dataset = YTVISDataset(
        ann_file=str(tmp_path / "gt.json"),
        data_prefix={"img_path": str(tmp_path / "images")},
        pipeline=[],
    )
    images = dataset[0]["images"]
    assert [len(image["instances"]) for image in images] == [2, 2, 1, 2]
    assert (
        np.abs(cv2.imread(images[1]["img_path"]).astype(int) - [90, 90, 30]).max() < 4
    )


def test_table(result):
    pandas = pytest.importorskip("pandas")
    table = result.to_dataframe()
    assert len(table) == 3 * COUNT
    row = table[(table.track_id == 1) & (table.frame == 3)].iloc[0]
    assert row[["class", "score", "visible", "area"]].tolist() == [
        "cat",
        0.6,
        True,
        900,
    ]
    assert row[["x1", "y1", "x2", "y2"]].tolist() == [10, 12, 40, 42]
    hidden = table[(table.track_id == 1) & (table.frame == 2)].iloc[0]
    assert not hidden.visible and pandas.isna(hidden.x1)
    assert table.time.unique().tolist() == [0.0, 0.1, 0.2, 0.3]


def test_detections(result):
    pytest.importorskip("supervision")
    detections = result.to_supervision()
    assert [len(d) for d in detections] == [2, 2, 1, 2]
    first = detections[3]
    assert np.array_equal(first.mask[0], masks_of(0)[3])
    assert first.tracker_id.tolist() == [0, 1]
    assert first.data["class_name"].tolist() == ["dog", "cat"]
    assert len(result.with_threshold(1.0).to_supervision()[0]) == 0


def test_a_missing_package_is_named(result, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(
        ImportError, match=r"to_dataframe\(\) needs pandas.*pip install"
    ):
        result.to_dataframe()
