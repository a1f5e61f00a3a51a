import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("sklearn")

from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmtaformer.models.structures import DecoderLayerOutput
from mmtaformer.utils.launch import UsageError
from projects.taformer.figures import figure6
from projects.taformer.figures.box_queries import (
    Instance,
    QueryPoints,
    matched_queries,
)
from projects.taformer.figures.common import VideoOutput

from ..helpers.figure_files import is_written
from ..helpers.golden import REPO_ROOT

BOXES = np.array([[0.2, 0.2, 0.2, 0.2], [0.7, 0.7, 0.3, 0.3], [0.3, 0.8, 0.1, 0.2]])


def instance(index, present=(True, True, True), label=0, video_id=0):
    boxes = np.full((3, 4), 1e-6)
    boxes[list(present)] = BOXES[index]
    return Instance(video_id, label, f"class {label}", boxes, np.array(present))


def drawn(figure):
    """Points of each axes, as (colour, marker shape) of every one."""
    panels = []
    for ax in figure.axes:
        panel = Counter()
        for collection in ax.collections:
            key = (
                tuple(np.round(collection.get_facecolor()[0][:3], 3)),
                len(collection.get_paths()[0].vertices),
            )
            panel[key] += len(collection.get_offsets())
        panels.append(panel)
    return panels


def test_points_of_a_model(tiny_config, checkpoint, val_args, tmp_path, monkeypatch):
    """One point per instance and frame it is visible in; one panel per model."""
    kept, save = [], figure6.save_figure
    monkeypatch.setattr(
        figure6, "save_figure", lambda f, out: kept.append(f) or save(f, out)
    )
    models = ["--model", "without", str(tiny_config), str(checkpoint)]
    models += ["--model", "with", str(tiny_config), str(checkpoint)]
    prefix = tmp_path / "out" / "figure"
    figure6.main([*val_args, *models, "--device", "cpu", "--out", str(prefix)])
    assert is_written(prefix)
    (figure,) = kept
    assert [ax.get_title().split("\n")[0] for ax in figure.axes] == ["without", "with"]

    annotations = json.loads(Path(val_args[0]).read_text())["annotations"]
    visible = [sum(m is not None for m in a["segmentations"]) for a in annotations]
    classes = [a["category_id"] for a in annotations]
    without, with_ = drawn(figure)
    assert without == with_
    assert sorted(without.values()) == sorted(visible)
    assert len({color for color, _ in without}) == len(annotations)
    assert len({marker for _, marker in without}) <= len(set(classes))
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(legend) == len(annotations) and legend[0].endswith("#0")


def test_queries_of_instances():
    """The matcher's queries, in the frames where the instance is visible."""
    cfg = Config.fromfile(REPO_ROOT / "configs/taformer/taformer_tiny_synthvis.py")
    with DefaultScope.overwrite_default_scope("mmdet"):
        head = MODELS.build(cfg.model.bbox_head)
    holder = torch.nn.Module()
    holder.bbox_head = head
    num_queries = 6
    boxes = torch.full((1, 3, num_queries, 4), 0.05)
    for query, index in ((4, 0), (1, 1)):
        boxes[0, :, query] = torch.from_numpy(BOXES[index]).float()
    box_query = torch.arange(3 * num_queries * 2.0).view(1, 3, num_queries, 2)
    output = DecoderLayerOutput(
        instance_query=torch.zeros(1, num_queries, 2),
        box_query=box_query,
        reference=boxes,
        boxes=boxes,
    )
    video = VideoOutput(None, output, torch.zeros(num_queries, 6))
    instances = [instance(0), instance(1, present=(True, False, True))]
    points = matched_queries(holder, video, instances)
    assert points.instances.tolist() == [0, 0, 0, 1, 1]
    expected = [box_query[0, t, 4] for t in range(3)]
    expected += [box_query[0, t, 1] for t in (0, 2)]
    assert np.array_equal(points.vectors, torch.stack(expected).numpy())
    assert np.allclose(points.ious, 1, atol=1e-5)
    assert len(matched_queries(holder, video, []).vectors) == 0


def two_clusters(distance):
    generator = np.random.default_rng(0)
    directions = np.array([[1.0, 0, 0], [1.0, distance, 0]])
    index = np.repeat([0, 1], 10)
    vectors = directions[index] + 0.01 * generator.normal(size=(20, 3))
    return QueryPoints(vectors.astype(np.float32), index, np.ones(20))


def test_layout_and_silhouette():
    far, same = two_clusters(3.0), two_clusters(0.0)
    assert figure6.instance_silhouette(far) > 0.9
    assert abs(figure6.instance_silhouette(same)) < 0.2
    places = figure6.embed(far, 30, seed=0)
    assert places.shape == (20, 2)
    assert np.array_equal(places, figure6.embed(far, 30, seed=0))
    centres = places[:10].mean(0), places[10:].mean(0)
    radius = max(np.linalg.norm(places[:10] - centres[0], axis=1).max(), 1e-3)
    assert np.linalg.norm(centres[0] - centres[1]) > radius


def test_markers_are_classes_and_colours_instances():
    instances = [instance(0, label=2), instance(1, label=2)]
    (same,) = drawn(figure6.draw_figure({"m": two_clusters(1.0)}, instances))
    assert list(same.values()) == [10, 10]
    assert len({marker for _, marker in same}) == 1
    assert len({color for color, _ in same}) == 2
    instances[1] = instance(1, label=1)
    (other,) = drawn(figure6.draw_figure({"m": two_clusters(1.0)}, instances))
    assert len({marker for _, marker in other}) == 2


def test_errors(val_args, tiny_config, checkpoint, tmp_path, monkeypatch):
    lone = QueryPoints(np.zeros((5, 3)), np.zeros(5, int), np.ones(5))
    with pytest.raises(UsageError, match=r"5 box queries of 1 instances"):
        figure6.embed(lone, 30, 0)
    model = ["--model", "m", str(tiny_config), str(checkpoint)]
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(SystemExit, match=r"^error: t-SNE needs scikit-learn"):
        figure6.main([*val_args, *model, "--out", str(tmp_path / "f")])
