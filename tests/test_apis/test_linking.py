import itertools

import numpy as np
import pytest
from mmdet.registry import TASK_UTILS

from mmtaformer.apis.clip_instances import ClipInstances
from mmtaformer.apis.linking import ClipLinker
from mmtaformer.utils.errors import UsageError

from ..helpers.videos import encode, rectangle


def clip(first, tubes, labels=None, scores=None, embeddings=None):
    """A clip of instances with the given masks, label 0 and score 0.9 by default."""
    count = len(tubes)
    labels, scores = labels or [0] * count, scores or [0.9] * count
    return ClipInstances(
        first=first,
        votes=[{label: score} for label, score in zip(labels, scores)],
        boxes=np.zeros((count, len(tubes[0]) if tubes else 1, 4), np.float32),
        masks=[[None if m is None else encode(m) for m in tube] for tube in tubes],
        embeddings=None if embeddings is None else np.array(embeddings, np.float32),
    )


def still(x, y=5, count=4):
    return [rectangle(x, y)] * count


def test_it_is_a_registered_component():
    linker = TASK_UTILS.build({"type": "ClipLinker", "max_gap": 7})
    assert isinstance(linker, ClipLinker) and linker.max_gap == 7


def test_pixels_of_shared_frames_alone_decide():
    """Outside of the shared frames the two are elsewhere."""
    linker = ClipLinker()
    first = linker.link(clip(0, [still(0)[:2] + still(20)[:2], still(40)]))
    second = linker.link(clip(2, [still(40), still(20)[:2] + still(0)[:2]]))
    assert first == [0, 1] and second == [1, 0]


def test_the_assignment_is_the_best_of_all():
    """Against every permutation, by IoUs counted on the pixels."""
    rng = np.random.default_rng(0)
    for _ in range(10):
        before = [rectangle(*rng.integers(0, 30, 2), 20, 15) for _ in range(4)]
        after = [rectangle(*rng.integers(0, 30, 2), 20, 15) for _ in range(4)]
        linker = ClipLinker(min_affinity=0.0)
        linker.link(clip(0, [[m] for m in before]))
        found = linker.link(clip(0, [[m] for m in after]))
        ious = [[(a & b).sum() / (a | b).sum() for b in after] for a in before]
        best = max(
            itertools.permutations(range(4)),
            key=lambda order: sum(
                ious[row][column] for row, column in enumerate(order)
            ),
        )
        total = sum(ious[row][column] for row, column in enumerate(best))
        linked = sum(ious[track][i] for i, track in enumerate(found) if track < 4)
        assert linked == pytest.approx(total)


def test_low_overlap_starts_a_new_track():
    linker = ClipLinker(min_affinity=0.3)
    linker.link(clip(0, [still(0)]))
    assert linker.link(clip(2, [still(8)])) == [1]


def test_classes_of_two_kinds_cost():
    linker = ClipLinker(class_penalty=0.5)
    linker.link(clip(0, [still(10)], labels=[1]))
    assert linker.link(clip(2, [still(10), still(12)], labels=[2, 1])) == [1, 0]
    linker = ClipLinker(class_penalty=0.0)
    linker.link(clip(0, [still(10)], labels=[1]))
    assert linker.link(clip(2, [still(10), still(12)], labels=[2, 1])) == [0, 1]


def test_affinity_is_the_weighted_mean_of_iou_and_cosine():
    linker = ClipLinker(embedding_weight=0.25, min_affinity=0.0)
    linker.link(clip(0, [still(0)], embeddings=[[1.0, 0.0]]))
    after = clip(2, [still(4)], embeddings=[[0.6, 0.8]])
    before, now = rectangle(0, 5), rectangle(4, 5)
    iou = (before & now).sum() / (before | now).sum()
    assert linker.affinities(after).item() == pytest.approx(0.75 * iou + 0.25 * 0.6)


@pytest.mark.parametrize("weight", [-0.1, 1.5])
def test_a_weight_that_is_no_share(weight):
    with pytest.raises(UsageError, match=f"is {weight}: give a number from 0 to 1"):
        ClipLinker(embedding_weight=weight)


def test_embeddings_outweigh_a_slightly_better_overlap():
    masks = [still(10), still(12)]
    swapped = [[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]
    for weight, expected in ((0.5, [1, 0]), (0.0, [0, 1])):
        linker = ClipLinker(embedding_weight=weight)
        linker.link(clip(0, masks, embeddings=swapped[0]))
        assert linker.link(clip(2, masks, embeddings=swapped[1])) == expected


def test_paused_track_returns_by_its_embedding():
    a, b = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]
    linker = ClipLinker(max_gap=10)
    linker.link(clip(0, [still(0), still(40)], embeddings=[a, b]))
    linker.link(clip(2, [still(40)], embeddings=[b]))
    linker.link(clip(4, [still(40)], embeddings=[b]))
    returned = linker.link(clip(6, [still(20), still(40)], embeddings=[a, b]))
    assert returned == [0, 1]


def test_too_long_a_pause_and_no_embeddings_start_anew():
    a, b = [1.0, 0.0], [0.0, 1.0]
    linker = ClipLinker(max_gap=10)
    linker.link(clip(0, [still(0), still(40)], embeddings=[a, b]))
    assert linker.link(clip(15, [still(0)], embeddings=[a])) == [2]
    linker = ClipLinker(max_gap=10)
    linker.link(clip(0, [still(0)]))
    assert linker.link(clip(6, [still(0)])) == [1]


@pytest.mark.parametrize("pause", [9, 10, 11])
def test_longest_pause(pause):
    linker = ClipLinker(max_gap=10)
    linker.link(clip(0, [still(0, count=4)], embeddings=[[1.0, 0.0]]))
    returned = linker.link(clip(4 + pause, [still(0)], embeddings=[[1.0, 0.0]]))
    assert returned == [0 if pause <= 10 else 1]


def test_what_differs_too_much_does_not_return():
    near = [0.9, 0.1**0.5 * 0.6, 0.0]
    linker = ClipLinker(return_similarity=0.95)
    linker.link(clip(0, [still(0)], embeddings=[[1.0, 0.0, 0.0]]))
    assert linker.link(clip(6, [still(0)], embeddings=[near])) == [1]


def test_nobody_returns_in_the_place_of_one_who_is_there():
    """The embedding is that of the first, but the second is where the instance is."""
    a, b = [1.0, 0.0], [0.0, 1.0]
    linker = ClipLinker(max_gap=10)
    linker.link(clip(0, [still(0), still(40)], embeddings=[a, b]))
    linker.link(clip(3, [still(40)], embeddings=[b]))
    assert linker.link(clip(6, [still(42)], embeddings=[a])) == [1]


def test_nothing_returns_where_that_is_off():
    linker = ClipLinker(return_similarity=None)
    linker.link(clip(0, [still(0)], embeddings=[[1.0, 0.0]]))
    assert linker.link(clip(6, [still(0)], embeddings=[[1.0, 0.0]])) == [1]


def test_where_masks_overlap_they_alone_decide_by_default():
    """Even against embeddings that say the opposite."""
    linker = ClipLinker()
    linker.link(clip(0, [still(0), still(40)], embeddings=[[1.0, 0.0], [0.0, 1.0]]))
    swapped = clip(2, [still(0), still(40)], embeddings=[[0.0, 1.0], [1.0, 0.0]])
    assert linker.link(swapped) == [0, 1]


def test_weak_instances_start_no_track_but_go_on():
    linker = ClipLinker(min_score=0.2)
    assert linker.link(clip(0, [still(0), still(30)], scores=[0.9, 0.1])) == [0, None]
    assert linker.link(clip(2, [still(0)], scores=[0.1])) == [0]


def test_class_by_votes_and_score_as_running_mean():
    linker = ClipLinker(class_penalty=0.0)
    for first, label, score in ((0, 3, 0.9), (2, 5, 0.6), (4, 5, 0.6)):
        linker.link(clip(first, [still(0)], labels=[label], scores=[score]))
    track = linker.tracks[0]
    assert track.label == 5
    assert track.score == pytest.approx((0.6 + 0.6) / 3)


def test_empty_clips():
    linker = ClipLinker()
    assert linker.link(clip(0, [])) == []
    assert linker.link(clip(2, [still(0)])) == [0]
    assert linker.link(clip(4, [])) == []
    linker.end_tracks()
    assert linker.active == [] and linker.tracks[0].clip is None


def test_the_memory_of_a_track_is_bounded():
    linker = ClipLinker(bank_size=3)
    for first in range(0, 40, 2):
        linker.link(clip(first, [still(0)], embeddings=[[1.0, 0.0]]))
    assert len(linker.tracks[0].bank) == 3
