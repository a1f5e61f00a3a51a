"""Clips, and what small models make of them."""

import torch

from .models import build_tiny, clip_sample

SIZE = (64, 96)
BOXES = {
    0: [(8, 8, 40, 40)] * 5,
    5: [None, (40, 16, 80, 60), (44, 16, 84, 60), None, (50, 16, 90, 60)],
}


def perturbed(name="taformer_tiny", **options):
    """A model in which every parameter counts."""
    return build_tiny(name, noise=0.05, **options)


def clip_inputs(batch=1, num_frames=5, size=SIZE, seed=1):
    """Random frames, (batch, num_frames, 3, *size)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, num_frames, 3, *size, generator=generator)


def predict(model, inputs, img_shape=SIZE, ori_shape=None):
    """The instances of every frame of every clip."""
    samples = [
        clip_sample(
            img_shape, {}, num_frames=inputs.size(1), ori_shape=ori_shape or img_shape
        )
        for _ in inputs
    ]
    return [
        [frame.pred_track_instances for frame in sample.video_data_samples]
        for sample in model(inputs, samples, mode="predict")
    ]


def total_loss(model, inputs, samples):
    """The loss that training minimizes."""
    return model.parse_losses(model(inputs, samples, mode="loss"))[0]


def assert_same_results(actual, expected, tolerance=1e-4):
    """Fail unless two models found the same instances in the frames of a clip."""
    assert len(actual) == len(expected)
    for frame, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(
            frame.scores, other.scores, atol=tolerance, rtol=tolerance
        )
        assert frame.labels.tolist() == other.labels.tolist()
        torch.testing.assert_close(frame.bboxes, other.bboxes, atol=1e-2, rtol=1e-4)
        assert (frame.masks != other.masks).float().mean() < 1e-4
