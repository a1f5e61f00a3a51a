import cv2
import numpy as np
import torch
from mmdet.registry import VISUALIZERS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData

from mmtaformer.visualization import Track, TrackVisualizer, track_color

from ..helpers import toy

FRAME = np.full((*toy.SIZE, 3), 90, np.uint8)


def predicted(as_rle):
    entries = [
        toy.entry(0, 5, 0.9, [toy.rectangle(5, 5, 30, 20)]),
        toy.entry(0, 0, 0.2, [toy.rectangle(0, 0, 4, 4)]),
    ]
    sample = toy.track_sample(0, entries, {5: 0, 0: 1}, 1, as_rle)
    return sample.video_data_samples[0]


def test_it_takes_the_place_of_mmdets(tmp_path):
    """``add_datasample`` with bit masks and with run lengths, which mmdet's refuses."""
    for as_rle in (False, True):
        visualizer = VISUALIZERS.build(
            dict(type="TrackVisualizer", name=f"a{as_rle}", scale=2)
        )
        visualizer.dataset_meta = {"classes": toy.CLASSES}
        path = tmp_path / f"{as_rle}.png"
        visualizer.add_datasample(
            "x", FRAME, predicted(as_rle), draw_gt=False, out_file=str(path)
        )
        drawn = cv2.imread(str(path))[..., ::-1].astype(int)
        assert drawn.shape == (48, 80, 3)
        blended = (np.array(track_color(0)) + 90) / 2
        assert np.abs(drawn[30, 40] - blended).max() < 3
        assert np.abs(drawn[44:, 64:] - 90).max() == 0
        assert np.abs(drawn[5, 5] - 90).max() < 30  # below mmdet's threshold of 0.3


def test_ground_truth_beside_predictions(tmp_path):
    sample = predicted(True)
    mask = toy.rectangle(5, 5, 30, 20).astype(np.uint8)
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor([[5.0, 5, 30, 20]]),
        labels=torch.tensor([0]),
        instances_ids=torch.tensor([0]),
        masks=BitmapMasks(mask[None], *toy.SIZE),
    )
    visualizer = TrackVisualizer("gt", scale=2)
    path = tmp_path / "both.png"
    visualizer.add_datasample("x", FRAME, sample, out_file=str(path))
    drawn = cv2.imread(str(path)).astype(int)
    assert drawn.shape == (48, 160, 3)
    assert np.abs(drawn[30, 40] - drawn[30, 120]).max() < 3


def test_it_chooses_and_says_so():
    mask = toy.to_rle(toy.rectangle(0, 0, 9, 9))
    tracks = [Track(i, "cat", [mask], score=s) for i, s in enumerate((0.1, 0.5))]
    shown, sentence = TrackVisualizer("a").select(tracks, 0.3)
    assert [t.track_id for t in shown] == [1]
    assert sentence == "1 of 1 shown, best score 0.50"
    keep = TrackVisualizer("b", one_class_per_query=False, nms_thr=None)
    assert keep.select(tracks, 0.0)[1] == "2 of 2 shown, best score 0.50"


def test_without_class_names():
    drawn = TrackVisualizer("c")._draw_instances(
        FRAME, predicted(False).pred_track_instances
    )
    assert drawn.shape[:2] == (360, 600)


def test_a_data_sample_without_instances():
    sample = DetDataSample()
    sample.pred_track_instances = InstanceData(
        bboxes=torch.zeros(0, 4),
        labels=torch.zeros(0, dtype=torch.long),
        scores=torch.zeros(0),
        instances_id=torch.zeros(0, dtype=torch.long),
        masks=torch.zeros(0, *toy.SIZE, dtype=torch.bool),
    )
    drawn = TrackVisualizer("d", scale=1)._draw_instances(
        FRAME, sample.pred_track_instances
    )
    assert np.array_equal(drawn, FRAME)
