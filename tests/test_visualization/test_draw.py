import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mmtaformer.visualization import (
    Track,
    auto_scale,
    draw_side_by_side,
    draw_track_frame,
    read_frame,
    track_color,
)
from mmtaformer.visualization.draw import place_label

GREY = np.full((96, 160, 3), 100, dtype=np.uint8)


def box_track(x1, y1, x2, y2, color=(255, 0, 0), size=(96, 160), **kwargs):
    mask = np.zeros(size, np.uint8)
    mask[y1:y2, x1:x2] = 1
    rle = mask_utils.encode(np.asfortranarray(mask))
    return Track(0, "cat", [None, rle], color, **kwargs)


@pytest.mark.parametrize("scale", [0.5, 1, 3, 3.5])
def test_mask_has_its_color_and_nothing_else_changes(scale):
    track = box_track(40, 40, 120, 80)
    drawn = draw_track_frame(GREY, [track], 1, scale)
    assert drawn.shape == (96 * scale, 160 * scale, 3)
    center = drawn[round(65 * scale), round(90 * scale)]
    assert center[0] > 160 and center[1] == center[2] < 80
    below = drawn[round(84 * scale) :]
    assert (below == 100).all()
    assert (drawn[:, : round(36 * scale)] == 100).all()


def test_absent_instance_is_not_drawn():
    track = box_track(40, 40, 120, 80, boxes=[[1, 1, 50, 50], [40, 40, 120, 80]])
    assert np.array_equal(draw_track_frame(GREY, [track], 0, 1), GREY)
    assert (GREY == 100).all()


def test_predicted_box_is_drawn_where_it_is():
    track = box_track(40, 40, 60, 60, boxes=[None, [20.2, 30.4, 90.3, 70.4]])
    drawn = draw_track_frame(GREY, [track], 1, 1)
    assert tuple(drawn[70, 50]) == tuple(drawn[60, 90]) == (255, 0, 0)
    outside = box_track(40, 40, 60, 60, boxes=[None, [-20, -9, 500, 400]])
    drawn = draw_track_frame(GREY, [outside], 1, 1)
    assert (drawn[-1] == (255, 0, 0)).all() and (drawn[:, -1] == (255, 0, 0)).all()


def test_label_is_legible_on_every_color():
    """The text has black or white pixels on a tag of the colour, above the box."""
    for index in range(12):
        color = track_color(index)
        track = box_track(40, 40, 120, 80, color=color, score=0.5)
        drawn = draw_track_frame(GREY, [track], 1, 4).astype(int)
        tag = drawn[135:160, 160:260].reshape(-1, 3)
        assert (tag == color).all(axis=1).mean() > 0.3
        luminance = tag @ [0.299, 0.587, 0.114]
        background = np.array(color) @ [0.299, 0.587, 0.114]
        assert np.abs(luminance - background).max() > 100


def test_labels_stay_inside_and_apart():
    """Ten instances at one place, in the corner of the picture."""
    taken = []
    for _ in range(10):
        taken.append(place_label((90, 18), (600, 3, 639, 40), (640, 384), taken))
    covered = np.zeros((384, 640), int)
    for x1, y1, x2, y2 in taken:
        assert 0 <= x1 < x2 <= 639 and 0 <= y1 < y2 <= 383
        covered[y1:y2, x1:x2] += 1
    assert covered.max() == 1


def test_more_labels_than_places():
    taken = []
    for _ in range(5):
        taken.append(place_label((90, 18), (0, 0, 20, 20), (50, 30), taken))
    assert all(rect[:2] == (0, 0) for rect in taken[2:])


def test_small_frames_are_enlarged():
    assert auto_scale(96, 160) == 4
    assert auto_scale(360, 640) == 1
    assert auto_scale(1280, 720) == 1
    assert draw_track_frame(GREY, [], 0).shape == (384, 640, 3)


def test_mask_of_another_size_is_an_error():
    track = box_track(4, 4, 12, 8, size=(48, 80))
    with pytest.raises(ValueError, match=r"\(48, 80\).*\(96, 160\)"):
        draw_track_frame(GREY, [track], 1)


def test_trail_shows_where_the_box_was():
    """The centre moves from (20, 20) to (100, 60) in a straight line."""
    masks = [box_track(0, 0, 1, 1).masks[1]] * 3  # drawn in the corner, out of the way
    boxes = [[20, 20, 20, 20], [60, 40, 60, 40], [100, 60, 100, 60]]
    track = Track(0, "", masks, (255, 0, 0), boxes=boxes)
    without = draw_track_frame(GREY, [track], 2, 1).astype(int)
    drawn = draw_track_frame(GREY, [track], 2, 1, trail=5).astype(int)
    changed = np.abs(drawn - without).sum(axis=-1) > 60
    assert changed[30, 40] and changed[40, 60] and changed[50, 80]
    shorter = draw_track_frame(GREY, [track], 2, 1, trail=1).astype(int)
    assert np.abs(shorter - without)[50, 80].sum() > 60
    assert (shorter[30, 40] == without[30, 40]).all()


def test_side_by_side():
    drawn = draw_side_by_side([GREY, GREY // 2], gap=4)
    assert drawn.shape == (96, 324, 3)
    assert (drawn[:, :160] == 100).all() and (drawn[:, 164:] == 50).all()
    assert (drawn[:, 160:164] == 255).all()


def test_read_frame(tmp_path):
    path = tmp_path / "frame.png"
    cv2.imwrite(str(path), np.full((4, 6, 3), (255, 0, 7), np.uint8))
    assert (read_frame(path) == (7, 0, 255)).all()
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(ValueError, match=r"frame\.png is not an image"):
        read_frame(path)
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        read_frame(tmp_path / "none.png")
