import pytest
import torch
from mmdet.structures import DetDataSample, TrackDataSample

from mmtaformer.engine import NonFiniteLossHook
from mmtaformer.utils.checkpoint import load_checkpoint_file

from ..helpers.toy_training import ToyModel, train


class SpoiltModel(ToyModel):
    """A model whose second term is spoilt in the sixth iteration."""

    def __init__(self, value):
        super().__init__()
        self.value, self.iteration = value, 0

    def forward(self, inputs, data_samples=None, mode="tensor"):
        losses = super().forward(inputs, data_samples, mode)
        self.iteration += 1
        if self.iteration == 6:
            losses["loss_b"] = losses["loss_b"] * self.value
        return losses


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_training_stops_and_the_last_checkpoint_stays(tmp_path, value):
    work_dir = tmp_path / "run"
    with pytest.raises(FloatingPointError) as error:
        train(work_dir, [NonFiniteLossHook()], model=SpoiltModel(value))
    message = str(error.value)
    assert "iteration 6 (epoch 2, batch 2)" in message
    assert f"loss_b = {value}" in message
    assert "loss_a" not in message
    assert str(work_dir / "epoch_1.pth") in message
    assert [path.name for path in work_dir.glob("*.pth")] == ["epoch_1.pth"]
    checkpoint = load_checkpoint_file(work_dir / "epoch_1.pth")
    assert all(weight.isfinite().all() for weight in checkpoint["state_dict"].values())


def test_every_iteration_is_checked_without_a_checkpoint(tmp_path):
    model = SpoiltModel(float("nan"))
    model.iteration = 5
    with pytest.raises(FloatingPointError, match="No checkpoint had been saved yet"):
        train(tmp_path / "run", [NonFiniteLossHook()], model=model)


def clip(video_id, frame_ids):
    frames = [
        DetDataSample(metainfo=dict(video_id=video_id, frame_id=i, img_path=f"{i}.jpg"))
        for i in frame_ids
    ]
    return TrackDataSample(video_data_samples=frames)


def test_message_names_videos_and_frames():
    class FakeRunner:
        iter, epoch = 0, 0
        message_hub = type("Hub", (), {"runtime_info": {}})

    outputs = {"loss": torch.tensor(float("inf")), "loss_a": torch.tensor([1.0, 2.0])}
    batch = {"data_samples": [clip(0, [1, 4]), clip(1903, [0, 2])]}
    with pytest.raises(FloatingPointError) as error:
        NonFiniteLossHook().after_train_iter(FakeRunner(), 0, batch, outputs)
    message = str(error.value)
    assert "video 0 (1.jpg), frames 1, 4; video 1903 (0.jpg), frames 0, 2" in message
    assert "loss = inf" in message


def test_finite_losses_pass():
    outputs = {"loss": torch.tensor(1e30), "accuracy": torch.tensor(float("nan"))}
    NonFiniteLossHook().after_train_iter(None, 0, {}, outputs)
