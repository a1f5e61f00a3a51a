import pytest
import torch
from inference import load_model, open_videos, run_video
from mmengine.dataset import pseudo_collate

from mmtaformer.utils.launch import UsageError


def test_what_testing_computes(tiny_config, checkpoint, val_args):
    """The boxes are those of the results that the model returns."""
    model, cfg = load_model(str(tiny_config), str(checkpoint), "cpu")
    videos = open_videos(cfg, val_args[0], val_args[2])
    video_id = videos.get_data_info(1)["video_id"]
    found = run_video(model, videos, video_id)
    assert found.memory.num_frames == 4
    assert found.output.box_query.shape == (1, 4, 5, 64)
    with torch.no_grad():
        (sample,) = model.test_step(pseudo_collate([videos[1]]))
    frames = sample.video_data_samples
    assert frames[0].video_id == video_id
    best, label = divmod(int(found.logits.flatten().argmax()), found.logits.size(1))
    cx, cy, w, h = found.output.boxes[0, :, best].unbind(-1)
    boxes = torch.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], dim=1)
    boxes = (boxes * torch.tensor([96.0, 64.0, 96.0, 64.0])).clamp(min=0)
    boxes = torch.minimum(boxes, torch.tensor([96.0, 64.0, 96.0, 64.0]))
    for t, frame in enumerate(frames):
        result = frame.pred_track_instances
        assert result.labels[0] == label
        assert torch.allclose(result.bboxes[0], boxes[t], atol=1e-3)


def test_errors(tiny_config, checkpoint, val_args, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint .*none.pth"):
        load_model(str(tiny_config), str(tmp_path / "none.pth"), "cpu")
    broken = tmp_path / "broken.pth"
    broken.write_bytes(checkpoint.read_bytes()[:5000])
    with pytest.raises(UsageError, match=r"broken.pth does not fit the config"):
        load_model(str(tiny_config), str(broken), "cpu")
    other = tmp_path / "other.py"
    other.write_text(f"_base_ = {str(tiny_config)!r}\nmodel = dict(num_queries=7)\n")
    with pytest.raises(UsageError, match=r"does not fit .*query_embedding.weight"):
        load_model(str(other), str(checkpoint), "cpu")


def test_classes_of_another_data_set(tiny_config, val_args):
    from mmengine.config import Config

    cfg = Config.fromfile(tiny_config)
    cfg.model.bbox_head.num_classes = 40
    with pytest.raises(UsageError, match=r"has 6 classes, but the model .* has 40"):
        open_videos(cfg, val_args[0], val_args[2])
