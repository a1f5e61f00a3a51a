import numpy as np

from mmtaformer.apis.cuts import ShotDetector
from mmtaformer.synthvis import SplitOptions, generate_video


def cuts(frames):
    detector = ShotDetector()
    return [t for t, frame in enumerate(frames) if detector.is_cut(frame)]


def synthetic(index, count=12):
    """A generated video of moving shapes, BGR."""
    options = SplitOptions("train", 8, count, (96, 64), 0, "medium")
    video = generate_video(options, index)
    return [np.ascontiguousarray(frame) for frame in video.frames]


def test_between_two_videos_and_nowhere_else():
    first, second, third = (synthetic(i) for i in (0, 1, 2))
    assert cuts(first + second + third) == [12, 24]


def test_none_inside_moving_videos():
    for index in range(8):
        assert cuts(synthetic(index)) == []


def test_none_at_a_flash_in_fast_noise_or_in_a_fade():
    frames = synthetic(3)
    flash = [
        f if t != 5 else np.minimum(f.astype(int) + 90, 255)
        for t, f in enumerate(frames)
    ]
    fade = [f * (1 - t / 12) for t, f in enumerate(frames)]
    noise = np.random.default_rng(0).integers(0, 255, (12, 64, 96, 3))
    for video in (flash, fade, noise):
        assert cuts([np.asarray(frame, np.uint8) for frame in video]) == []


def test_a_cut_to_black_and_back():
    frames = synthetic(4)
    black = [np.zeros_like(frames[0])] * 3
    assert cuts(frames[:5] + black + frames[5:]) == [5, 8]
