import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from mmtaformer.apis import init_model
from mmtaformer.utils.launch import UsageError
from projects.taformer.figures import common

from ..helpers.figure_files import is_written

TRUTH = {"videos": [{"id": video_id} for video_id in (3, 1, 8, 9)]}


def test_videos():
    def ids(*args):
        return [video["id"] for video in common.select_videos(TRUTH, *args)]

    assert ids([8, 3], 1) == [8, 3]
    assert ids(None, 2) == [3, 9]
    with pytest.raises(
        UsageError, match=r"no video 5 .* 4 videos have ids from 1 to 9"
    ):
        ids([1, 5], 2)


def test_spread():
    assert common.spread(range(10), 4) == [0, 3, 6, 9]
    assert common.spread(range(3), 5) == [0, 1, 2]
    assert common.spread(range(3), 1) == [0]


@pytest.mark.parametrize("name", ["curve", "curve.png", "curve.pdf"])
def test_png_and_pdf(tmp_path, name):
    out = tmp_path / "figures"
    paths = (out / "curve.png", out / "curve.pdf")
    assert common.save_figure(Figure(), out / name) == paths
    assert is_written(out / "curve")
    before = (out / "curve.pdf").read_bytes()
    common.save_figure(Figure(), out / name)
    assert (out / "curve.pdf").read_bytes() == before


def test_a_dot_in_the_name(tmp_path):
    assert common.file_names(tmp_path / "v1.5")[0] == tmp_path / "v1.5.png"


def test_heat_maps_share_a_range():
    maps = [np.arange(200.0).reshape(10, 20), np.arange(200, 400.0).reshape(10, 20)]
    first, second = common.heat_maps(maps)
    assert first.shape == (10, 20, 3) and first.dtype == np.uint8
    # viridis: from dark violet to yellow; outliers have the colours of the ends.
    assert first[0, 0].tolist() == first[0, 1].tolist() == [68, 1, 84]
    assert second[-1, -1].tolist() == second[-1, -2].tolist() == [253, 231, 36]
    assert not np.array_equal(first, second)


def test_what_testing_computes(tiny_config, checkpoint):
    """The boxes are those of the results that the model returns."""
    model = init_model(str(tiny_config), str(checkpoint), device="cpu")
    frames = list(np.random.default_rng(0).integers(0, 255, (4, 64, 96, 3), np.uint8))
    found = common.run_video(model, frames)
    assert found.memory.num_frames == 4
    assert found.output.box_query.shape == (1, 4, 5, 64)
    best, label = divmod(int(found.logits.flatten().argmax()), found.logits.size(1))
    cx, cy, w, h = found.output.boxes[0, :, best].unbind(-1)
    boxes = torch.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], dim=1)
    size = torch.tensor([96.0, 64.0, 96.0, 64.0])
    boxes = torch.minimum((boxes * size).clamp(min=0), size)
    sample = common.predict(model, frames)
    for t, frame in enumerate(sample.video_data_samples):
        result = frame.pred_track_instances
        assert result.labels[0] == label
        assert torch.allclose(result.bboxes[0], boxes[t], atol=1e-3)


def test_classes_of_another_data_set(tiny_config, checkpoint):
    models = [("m", str(tiny_config), str(checkpoint))]
    with pytest.raises(UsageError, match=r"truth has 40 classes, but the model .* 6;"):
        next(common.load_models(models, "cpu", 40))
