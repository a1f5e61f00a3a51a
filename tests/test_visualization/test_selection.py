import numpy as np
import pytest

from mmtaformer.visualization import Track, confident, describe, drop_duplicates
from mmtaformer.ytvis.tubes import tube_ious

from ..helpers import toy

LEFT, NEAR, RIGHT = (toy.rectangle(x, 0, x + 10, 10) for x in (0, 1, 25))


def track(track_id, score, *masks):
    return Track(track_id, "cat", [toy.to_rle(mask) for mask in masks], score=score)


def ids(tracks):
    return [t.track_id for t in tracks]


def test_overlap_of_whole_tracks_counted_on_the_pixels():
    rng = np.random.default_rng(0)
    tubes = rng.random((5, 4, *toy.SIZE)) < 0.3
    tubes[0, 1] = tubes[1, :2] = tubes[2] = False
    rles = [[toy.to_rle(m) if m.any() else None for m in tube] for tube in tubes]
    found = tube_ious(rles[:2], rles)
    for i in range(2):
        for j in range(5):
            union = (tubes[i] | tubes[j]).sum()
            expected = (tubes[i] & tubes[j]).sum() / union if union else 0
            assert found[i, j] == pytest.approx(expected)
    assert tube_ious([], rles).shape == (0, 5)


def test_the_best_of_one_query_stays():
    tracks = [
        track(0, 0.5, LEFT, None),
        track(1, 0.9, LEFT, None),
        track(2, 0.4, RIGHT, None),
    ]
    assert ids(drop_duplicates(tracks)) == [1, 2]
    assert ids(drop_duplicates(tracks, nms_thr=None)) == [1, 2]
    assert ids(drop_duplicates(tracks, one_class_per_query=False, nms_thr=None)) == [
        0,
        1,
        2,
    ]


def test_overlapping_tracks():
    """NEAR overlaps LEFT by 9 / 11; together with another frame by far less."""
    tracks = [
        track(0, 0.9, LEFT, LEFT),
        track(1, 0.8, NEAR, NEAR),
        track(2, 0.7, NEAR, RIGHT),
    ]
    assert ids(drop_duplicates(tracks, nms_thr=0.7)) == [0, 2]
    assert ids(drop_duplicates(tracks, nms_thr=0.85)) == [0, 1, 2]
    assert ids(drop_duplicates(tracks, nms_thr=0.1)) == [0]


def test_classes_of_one_query_may_stay_while_others_go():
    tracks = [track(0, 0.9, LEFT), track(1, 0.8, LEFT), track(2, 0.7, NEAR)]
    assert ids(drop_duplicates(tracks, one_class_per_query=False)) == [0, 1]


def test_confident_tracks_are_visible_and_counted():
    tracks = [track(0, 0.9, LEFT), track(1, 0.3, RIGHT), track(2, 0.9, None)]
    assert ids(confident(tracks, 0.3)) == [0, 1]
    assert describe(confident(tracks, 0.95), tracks) == "0 of 3 shown, best score 0.90"
    assert describe([], []) == "nothing found"
