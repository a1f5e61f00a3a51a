from collections import Counter

import numpy as np
import pytest

from mmtaformer.datasets import ClipSample
from mmtaformer.utils.errors import UsageError


def video(length, **kwargs):
    images = [dict(frame_id=t, img_path=f"{t}.jpg") for t in range(length)]
    return dict(video_id=0, video_length=length, images=images, **kwargs)


@pytest.mark.parametrize("num_frames", [1, 2, 3, 4, 5, 8])
@pytest.mark.parametrize("length", [1, 2, 4, 5, 9, 30])
def test_clips_of_every_length(num_frames, length):
    np.random.seed(0)
    sampler = ClipSample(num_frames)
    for key in range(length):
        for _ in range(5):
            frames = sampler.sample_frames(length, key)
            assert len(frames) == num_frames
            assert frames == sorted(frames)
            assert key in frames
            assert set(frames) <= set(range(length))
            counts = Counter(frames).values()
            if length >= num_frames:
                assert max(counts) == 1
            else:
                assert len(counts) == length
                assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("num_frames", [3, 5])
def test_neighbours_are_one_to_three_frames_away(num_frames):
    np.random.seed(0)
    key, before, after, others = 20, Counter(), Counter(), Counter()
    for _ in range(1200):
        frames = ClipSample(num_frames).sample_frames(41, key)
        index = frames.index(key)
        before[key - frames[index - 1]] += 1
        after[frames[index + 1] - key] += 1
        others.update(frames[: index - 1] + frames[index + 2 :])
    for counts in (before, after):
        assert sorted(counts) == [1, 2, 3]
        assert min(counts.values()) > 300
    if num_frames == 5:
        # Anywhere in the video, but not between the neighbours.
        assert set(range(17)) | set(range(24, 41)) <= set(others)
        assert not set(others) & {19, 20, 21}
    else:
        assert not others


def test_two_frames_are_the_key_frame_and_one_neighbour():
    np.random.seed(0)
    frames = [ClipSample(2).sample_frames(41, 20) for _ in range(200)]
    assert {b - a for a, b in frames} == {1, 2, 3}
    assert {a for a, _ in frames} == {17, 18, 19, 20}


@pytest.mark.parametrize("key", [0, 8])
def test_first_and_last_frames_have_one_neighbour_and_no_repetition(key):
    np.random.seed(0)
    for _ in range(50):
        frames = ClipSample(5).sample_frames(9, key)
        assert len(set(frames)) == 5
        near = {abs(f - key) for f in frames} & {1, 2, 3}
        assert near


def test_same_seed_same_clip():
    def draw(seed):
        np.random.seed(seed)
        return [ClipSample(5).sample_frames(30, 11) for _ in range(10)]

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


def test_key_frame_of_the_sampler_and_random_key_frame():
    np.random.seed(0)
    for key in range(9):
        clip = ClipSample(3)(video(9, key_frame_id=key))
        assert key in clip["frame_id"]
        assert clip["img_path"] == [f"{t}.jpg" for t in clip["frame_id"]]
        assert clip["video_id"] == [0, 0, 0]
        assert clip["video_length"] == [3, 3, 3]
        assert clip["ori_video_length"] == [9, 9, 9]
    keys = {ClipSample(1)(video(9))["frame_id"][0] for _ in range(200)}
    assert keys == set(range(9))


@pytest.mark.parametrize("kwargs", [dict(num_frames=0), dict(local_range=0)])
def test_impossible_settings(kwargs):
    with pytest.raises(UsageError, match="both must be at least 1"):
        ClipSample(**kwargs)
