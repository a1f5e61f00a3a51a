import pytest
import torch

from mmtaformer.apis.memory import fits, free_bytes, whole_video_bytes

from ..helpers.models import build_tiny


def test_it_covers_what_grows_with_the_video():
    """Counted on the tensors that prediction really holds for every frame."""
    model = build_tiny()
    height, width = 64, 96
    kept = []
    for num_frames in (4, 12):
        video = torch.zeros(1, num_frames, 3, height, width)
        tokens = model.encode(video, frames_per_chunk=4).tokens
        floats = video.numel() + 2 * tokens.numel()
        kept.append(4 * floats + video.numel())
    sizes = ((height, width), (2 * height, 2 * width))
    model.test_cfg["frames_per_chunk"] = 4
    needed = [whole_video_bytes(model, count, *sizes) for count in (4, 12)]
    growth, real = needed[1] - needed[0], kept[1] - kept[0]
    assert real <= growth <= 3 * real
    assert needed[0] >= kept[0]


def test_it_grows_with_everything():
    model = build_tiny()
    model.test_cfg["frames_per_chunk"] = 4
    base = whole_video_bytes(model, 20, (64, 96), (64, 96))
    assert whole_video_bytes(model, 40, (64, 96), (64, 96)) > 1.5 * base
    assert whole_video_bytes(model, 20, (128, 192), (64, 96)) > 3 * base
    assert whole_video_bytes(model, 20, (64, 96), (640, 960)) > base


def test_free_memory_is_that_of_the_machine():
    psutil = pytest.importorskip("psutil")
    free = free_bytes("cpu")
    assert 0 < free <= psutil.virtual_memory().total


def test_some_is_left_for_the_others():
    assert fits(70, 100) and not fits(90, 100)
