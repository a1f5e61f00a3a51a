import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mmtaformer.visualization import (
    Track,
    match_colors,
    track_color,
    tracks_from_annotations,
    tracks_from_frames,
    tracks_from_results,
)

from ..helpers import toy

NAMES = {5: "cat", 0: "dog"}
LABELS = {5: 0, 0: 1}


def track(track_id, masks, color=(0, 0, 0)):
    return Track(track_id, "cat", [toy.to_rle(mask) for mask in masks], color)


def test_colors_are_stable_and_differ():
    colors = [track_color(index) for index in range(60)]
    assert colors == [track_color(index) for index in range(60)]
    distances = [
        np.abs(np.subtract(a, b)).sum()
        for i, a in enumerate(colors)
        for b in colors[:i]
    ]
    assert min(distances) > 5
    assert min(distances[:45]) > 60  # those of the first ten


def test_caption_and_color():
    assert Track(3, "cat", [], (0, 0, 0), score=0.867).caption == "cat 0.87 #3"
    assert Track(0, "cat", [], (0, 0, 0)).caption == "cat #0"
    assert Track(4, "cat", []).color == track_color(4)


def test_box_is_the_predicted_one_or_that_of_the_mask():
    masks = [toy.to_rle(toy.rectangle(2, 3, 12, 8)), None]
    assert Track(0, "cat", masks).box(0) == (2, 3, 12, 8)
    assert Track(0, "cat", masks, boxes=[[1, 2, 3, 4], None]).box(0) == (1, 2, 3, 4)
    assert Track(0, "cat", masks).frames == [0]


def test_annotations_with_polygons():
    annotation = toy.annotation(3, 7, 0, [None, None])
    corners = [2.0, 1.0, 12.0, 1.0, 12.0, 6.0, 2.0, 6.0]
    annotation["segmentations"][1] = [corners]
    (found,) = tracks_from_annotations([annotation], toy.video(7), NAMES)
    assert found.caption == "dog #0"
    assert found.masks[0] is None
    decoded = mask_utils.decode(found.masks[1])
    assert np.array_equal(decoded, toy.rectangle(2, 1, 12, 6))


def test_results_are_numbered_by_score():
    masks = [toy.rectangle(0, 0, 5, 5), None]
    entries = [toy.entry(0, 5, s, masks) for s in (0.29, 0.5, 0.9)]
    found = tracks_from_results(entries, NAMES, toy.SIZE)
    captions = ["cat 0.90 #0", "cat 0.50 #1", "cat 0.29 #2"]
    assert [t.caption for t in found] == captions
    assert found[0].color != found[1].color
    assert found[0].masks == entries[0]["segmentations"]


def test_polygons_of_results_have_the_size_of_the_video():
    entry = toy.entry(0, 5, 0.9, [None, None])
    entry["segmentations"][0] = [[2.0, 1.0, 12.0, 1.0, 12.0, 6.0, 2.0, 6.0]]
    (found,) = tracks_from_results([entry], NAMES, toy.SIZE)
    assert np.array_equal(mask_utils.decode(found.masks[0]), toy.rectangle(2, 1, 12, 6))


@pytest.mark.parametrize("as_rle", [False, True])
def test_predictions_keep_ids_and_boxes(as_rle):
    entries = [
        toy.entry(0, 0, 0.2, [toy.rectangle(0, 0, 5, 5)] * 2),
        toy.entry(0, 0, 0.8, [None, toy.rectangle(3, 4, 15, 9)]),
    ]
    sample = toy.track_sample(0, entries, LABELS, length=2, as_rle=as_rle)
    _, found = tracks_from_frames(sample.video_data_samples, toy.CLASSES)
    assert found.caption == "dog 0.80 #1"
    assert found.masks == entries[1]["segmentations"]
    assert found.boxes[1] == [3, 4, 15, 9]


def test_matched_tracks_take_the_color_of_their_reference():
    left, right = toy.rectangle(0, 0, 10, 10), toy.rectangle(20, 0, 30, 10)
    shifted = toy.rectangle(22, 1, 32, 11)
    reference = [
        track(0, [left, None], color=track_color(0)),
        track(1, [right, right], color=track_color(1)),
    ]
    predictions = [
        track(0, [shifted, shifted]),
        track(1, [toy.rectangle(0, 15, 9, 24)] * 2),  # covers nothing
        track(2, [left, left]),
    ]
    matched = match_colors(predictions, reference)
    assert [t.track_id for t in matched] == [0, 1, 2]
    assert matched[0].color == reference[1].color
    assert matched[2].color == reference[0].color
    assert matched[1].color not in [t.color for t in reference]


def test_matching_uses_the_whole_video():
    """Both cover the reference in frame 0; only one follows it in frame 1."""
    left, right = toy.rectangle(0, 0, 10, 10), toy.rectangle(20, 0, 30, 10)
    reference = [track(0, [left, right], color=track_color(4))]
    switched, follows = match_colors(
        [track(0, [left, left]), track(1, [left, right])], reference
    )
    assert follows.color == reference[0].color
    assert switched.color != reference[0].color


def test_nothing_to_match():
    only = [track(0, [toy.rectangle(0, 0, 5, 5)], color=track_color(0))]
    elsewhere = [track(0, [toy.rectangle(30, 9, 39, 20)])]
    assert match_colors([], only) == []
    assert match_colors(elsewhere, [])[0].color == track_color(0)
    assert match_colors(elsewhere, only)[0].color == track_color(1)
