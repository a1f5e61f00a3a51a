"""Nearest frames by hand and by sorting all frames of the clip."""

import pytest

from mmtaformer.models.layers.nearest_frames import frame_runs, nearest_frames


def test_a_clip_of_five():
    expected = [[1, 2, 3, 4], [0, 2, 3, 4], [0, 1, 3, 4], [0, 1, 2, 4], [0, 1, 2, 3]]
    for t, others in enumerate(expected):
        assert [t + relative for relative in nearest_frames(t, 5, 2)] == others


@pytest.mark.parametrize("window", [1, 2, 3])
@pytest.mark.parametrize("num_frames", range(1, 12))
def test_no_frame_is_nearer(num_frames, window):
    for t in range(num_frames):
        others = [other for other in range(num_frames) if other != t]
        others = sorted(others, key=lambda other: abs(other - t))[: 2 * window]
        found = [t + relative for relative in nearest_frames(t, num_frames, window)]
        assert len(found) == len(set(found)) == 2 * window
        assert found[: len(others)] == sorted(others)
        # Beyond the clip, wherever in the run the frame lies.
        assert all(other >= num_frames for other in found[len(others) :])


@pytest.mark.parametrize("num_frames", [1, 3, 5, 9])
def test_runs_are_all_frames_in_order(num_frames):
    frames = range(num_frames)[num_frames // 3 :]
    runs = frame_runs(frames, num_frames, 2)
    found = [(t, nearest) for run, nearest in runs for t in frames[run]]
    assert found == [(t, nearest_frames(t, num_frames, 2)) for t in frames]


def test_the_middle_is_one_run():
    runs = frame_runs(range(9), 9, 2)
    assert [run.stop - run.start for run, _ in runs] == [1, 1, 5, 1, 1]
    assert runs[2][1] == (-2, -1, 1, 2)
