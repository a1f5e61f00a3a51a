"""Small models, and clips of one size with different numbers of instances."""

import torch
from mmengine.registry import DefaultScope

from ..helpers.models import build_tiny, clip_sample

SIZE = (48, 64)
NUM_FRAMES = 3


def build_model(name: str = "taformer_tiny", **options):
    """A model in training mode whose gradient is a mean over its clips.

    Batch norm keeps its statistics; nothing is dropped.
    """
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = build_tiny(name, noise=0.05, **{"backbone.norm_eval": True, **options})
    return model.train()


def clip(index: int, num_instances: int):
    """Frames (1, T, 3, H, W) and sample of a clip; one instance is absent at times."""
    generator = torch.Generator().manual_seed(index)
    frames = torch.randn(1, NUM_FRAMES, 3, *SIZE, generator=generator)
    boxes = {
        i: [(4 + 12 * i + t, 6 + 2 * i, 14 + 12 * i + t, 30) for t in range(NUM_FRAMES)]
        for i in range(num_instances)
    }
    if num_instances > 1:
        boxes[1][0] = None
    labels = {i: i % 3 for i in boxes}
    return frames, clip_sample(SIZE, boxes, labels, num_frames=NUM_FRAMES)


def batch(counts):
    """Frames and samples of clips with the given numbers of instances."""
    frames, samples = zip(*(clip(i, count) for i, count in counts))
    return torch.cat(frames), list(samples)


def total_loss(model, losses):
    """The loss that is minimized, and all terms."""
    return getattr(model, "module", model).parse_losses(losses)


def gradients(model):
    return {
        name.removeprefix("module."): parameter.grad
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
