import pytest
from video_selection import select_videos, spread

from mmtaformer.utils.launch import UsageError

TRUTH = {"videos": [{"id": video_id} for video_id in (3, 1, 8, 9)]}


def ids(*args):
    return [video["id"] for video in select_videos(TRUTH, *args)]


def test_spread():
    assert spread(range(10), 4) == [0, 3, 6, 9]
    assert spread(range(3), 5) == [0, 1, 2]
    assert spread(range(3), 1) == [0]


def test_videos():
    assert ids([8, 3], 1) == [8, 3]
    assert ids(None, 2) == [3, 9]
    with pytest.raises(
        UsageError, match=r"no video 5 .* 4 videos have ids from 1 to 9"
    ):
        ids([1, 5], 2)
