from dataclasses import replace

import numpy as np
import pytest

from mmtaformer.synthvis import SplitOptions, generate_video
from mmtaformer.utils.errors import UsageError

OPTIONS = SplitOptions("train", 4, 12, (96, 64), seed=0, difficulty="hard")


def frames(options, index=1):
    return generate_video(options, index).frames


def test_the_same_options_give_the_same_video():
    np.testing.assert_array_equal(frames(OPTIONS), frames(OPTIONS))


@pytest.mark.parametrize(
    "other", [dict(seed=1), dict(split="val"), dict(difficulty="easy")]
)
def test_other_options_give_other_videos(other):
    short = replace(OPTIONS, num_frames=2)
    assert (frames(short) != frames(replace(short, **other))).mean() > 0.5


def test_videos_of_a_split_differ_and_do_not_depend_on_their_number():
    short = replace(OPTIONS, num_frames=2)
    assert (frames(short, 0) != frames(short, 1)).mean() > 0.5
    more = replace(short, num_videos=400)
    np.testing.assert_array_equal(frames(short), frames(more))


def test_objects_are_hidden_and_leave_and_return():
    """What the data set is for happens in a handful of hard videos."""
    hidden, returned = 0, 0
    for index in range(8):
        video = generate_video(OPTIONS, index)
        whole, seen = video.full_masks.sum((2, 3)), video.masks.sum((2, 3))
        hidden += int(((seen < 0.4 * whole) & (whole > 50)).sum())
        for present in whole > 0:
            frames_seen = np.flatnonzero(present)
            gap = frames_seen[-1] - frames_seen[0] + 1 > len(frames_seen)
            returned += bool(gap)
    assert hidden >= 5
    assert returned >= 2


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (dict(num_videos=0), "num_videos is 0"),
        (dict(num_frames=-1), "num_frames is -1"),
        (dict(size=(96, 8)), r"size is \(96, 8\)"),
        (dict(seed=-3), "seed is -3"),
        (dict(difficulty="medum"), "'medum'"),
        (dict(split="../train"), "'../train'"),
    ],
)
def test_wrong_options_are_named(wrong, message):
    with pytest.raises(UsageError, match=message):
        replace(OPTIONS, **wrong)


@pytest.mark.parametrize("num_frames", [1, 2, 30])
def test_any_number_of_frames(num_frames):
    video = generate_video(replace(OPTIONS, num_frames=num_frames), 0)
    assert len(video.frames) == num_frames
    assert video.masks[:, :].any()
