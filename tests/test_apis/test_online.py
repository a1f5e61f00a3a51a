"""Online mode against a world whose objects are known in every frame."""

import numpy as np
import pytest

from mmtaformer.apis.linking import ClipLinker
from mmtaformer.apis.online import OnlineTracker

from ..helpers.videos import World, encode, rectangle


def moving(x, y, dx=1, visible=range(10**6)):
    return lambda t: rectangle(x + dx * t, y) if t in visible else None


def track(world, count, cuts=(), **options):
    """Tracks of every frame, and after how many frames each was out."""
    linker = options.pop("linker", ClipLinker())
    tracker = OnlineTracker(world, linker, **options)
    results, out_at = [], []
    for t in range(count):
        final = tracker.push(t, t in cuts)
        results += final
        out_at += [t] * len(final)
    rest = tracker.finish()
    return results + rest, out_at + [count] * len(rest), linker


def ids_of(results, world, index):
    """Ids under which an object appears, frame by frame; None where it does not."""
    found = []
    for t, tracks in enumerate(results):
        mask = world.objects[index](t)
        rle = None if mask is None else encode(mask)
        ids = [track.track_id for track in tracks if track.mask == rle]
        assert len(ids) <= 1
        found.append(ids[0] if ids else None)
    return found


@pytest.mark.parametrize("count", [1, 4, 5, 6, 8, 9, 23, 40])
@pytest.mark.parametrize(
    ("clip_length", "overlap"), [(5, 2), (5, 1), (4, 3), (None, 0)]
)
def test_every_object_has_one_track_in_every_frame(count, clip_length, overlap):
    world = World([moving(2, 2), moving(50, 20, -1), moving(5, 35)])
    results, _, _ = track(world, count, clip_length=clip_length, overlap=overlap)
    assert len(results) == count
    for index in range(3):
        (only,) = set(ids_of(results, world, index))
        assert only is not None
    assert all(len(tracks) == 3 for tracks in results)


def test_clips_cover_the_video_and_are_as_long_as_they_can_be():
    world = World([moving(2, 2)])
    track(world, 12, clip_length=5, overlap=2)
    assert world.calls == [(0, 5), (3, 5), (6, 5), (7, 5)]
    world = World([moving(2, 2)])
    track(world, 3, clip_length=5, overlap=2)
    assert world.calls == [(0, 3)]


@pytest.mark.parametrize(("clip_length", "overlap"), [(5, 2), (10, 3), (4, 0)])
def test_results_are_out_at_most_one_clip_later(clip_length, overlap):
    world = World([moving(2, 2)])
    _, out_at, _ = track(world, 47, clip_length=clip_length, overlap=overlap)
    assert all(out - t < clip_length for t, out in enumerate(out_at))


def test_tracks_end_at_a_cut():
    world = World([moving(2, 2, dx=0), moving(30, 20, dx=0)])
    results, _, _ = track(world, 20, cuts=[8], clip_length=5, overlap=2)
    for index in range(2):
        ids = ids_of(results, world, index)
        assert len(set(ids[:8])) == len(set(ids[8:])) == 1
        assert ids[7] != ids[8]
    assert all(first + length <= 8 or first >= 8 for first, length in world.calls)


def test_object_that_enters_and_one_that_leaves():
    world = World(
        [moving(2, 2, visible=range(9)), moving(30, 20, visible=range(6, 30))]
    )
    results, _, linker = track(world, 30, clip_length=5, overlap=2)
    assert ids_of(results, world, 0) == [0] * 9 + [None] * 21
    assert ids_of(results, world, 1) == [None] * 6 + [1] * 24
    assert len(linker.tracks) == 2


def test_masks_come_from_the_clip_in_which_a_frame_is_further_inside():
    class Blurred(World):
        """Masks one pixel larger for each frame nearer to the end of the clip."""

        def masks(self, index, first, count):
            return [
                encode(rectangle(5, 5, 10 + t - first, 8))
                for t in range(first, first + count)
            ]

    results, _, _ = track(Blurred([moving(5, 5)]), 8, clip_length=5, overlap=2)
    widths = [r[0].box[2] - r[0].box[0] for r in results]
    # Frames 3 and 4 are shared: 3 is the second last of one, 4 the second of the next.
    assert widths == [10, 11, 12, 13, 11, 12, 13, 14]


def test_what_is_kept_does_not_grow():
    world = World([moving(2, 2, dx=0), moving(30, 20, dx=0)])
    tracker = OnlineTracker(world, ClipLinker(), clip_length=5, overlap=2)
    for t in range(400):
        tracker.push(t)
        assert len(tracker._window) <= 5
        assert tracker.num_frames - tracker.num_final < 5
    assert len(tracker.linker.active) == 2


def test_score_and_class_so_far_are_corrected_at_the_end():
    """The first clip says 0.4, the others 0.8."""
    world = World([moving(2, 2)], scores=lambda index, first: 0.8 if first else 0.4)
    results, _, linker = track(world, 11, clip_length=5, overlap=2)
    assert results[0][0].score == pytest.approx(0.4)
    assert linker.tracks[0].score == pytest.approx((0.4 + 0.8 + 0.8) / 3)


def test_whole_mode_keeps_even_the_weakest():
    world = World([moving(2, 2)], scores=lambda index, first: 0.001)
    results, _, _ = track(world, 6, clip_length=None, linker=ClipLinker(min_score=0.0))
    assert [len(tracks) for tracks in results] == [1] * 6
    results, _, _ = track(world, 6, clip_length=None)
    assert [len(tracks) for tracks in results] == [0] * 6


def test_embeddings_tell_look_alikes_apart_that_swap_places_out_of_sight():
    """Hidden in frames 4 to 9, they come back with places changed."""
    left, right = rectangle(5, 10), rectangle(40, 10)
    hidden = range(4, 10)
    world = World(
        [
            lambda t: None if t in hidden else (left if t < 4 else right),
            lambda t: None if t in hidden else (right if t < 4 else left),
        ],
        embeddings=np.eye(2, 4, dtype=np.float32),
    )
    results, _, _ = track(world, 20, clip_length=5, overlap=2)
    for index in range(2):
        ids = ids_of(results, world, index)
        assert set(ids) == {ids[0], None}
        assert ids[-1] == ids[0]
