from dataclasses import replace

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from mmtaformer.synthvis import SplitOptions, generate_video
from mmtaformer.synthvis.difficulty import DIFFICULTIES
from mmtaformer.synthvis.motion import Motion, still
from mmtaformer.synthvis.render import render_video, visible_masks
from mmtaformer.synthvis.scene import Camera, Scene, Thing
from mmtaformer.synthvis.shapes import CLASSES, sample_shape

SIZE = (80, 60)


def camera(exposure=0.0):
    return Camera(np.zeros(2), np.zeros(2), exposure, noise=0.0)


def scene_of(things, num_frames=1, exposure=0.0):
    background = np.full((SIZE[1] + 4, SIZE[0] + 4, 3), 0.02, np.float32)
    return Scene(num_frames, SIZE, background, camera(exposure), things)


def thing(kind="ball", colour=0.9, path=None, depth=0.0, size=16.0, **motion):
    rng = np.random.default_rng(3)
    path = path or still(np.array([40.3, 29.6]))
    return Thing(
        label=CLASSES.index(kind),
        group=0,
        shape=sample_shape(rng, kind, 0.5),
        texture=np.full((48, 48, 3), colour, np.float32),
        motion=Motion(path, size=size, angle=0.7, **motion),
        depths=(depth, depth),
    )


def linear(frame):
    """(H, W) linear light of a frame."""
    return (frame.mean(axis=2) / 255) ** 2.2


def render(scene):
    return render_video(np.random.default_rng(0), scene)


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize("kind", CLASSES)
def test_mask_is_where_the_object_changes_the_pixels(kind):
    """The shade of its edge leaves an object a little over half of its light."""
    video = render(scene_of([thing(kind, size=26.0)]))
    light = linear(video.frames[0]) - linear(render(scene_of([])).frames[0])
    assert iou(video.masks[0, 0], light > 0.27 * light.max()) > 0.95
    assert video.labels.tolist() == [CLASSES.index(kind)]


def test_position_and_size_are_in_pixels():
    video = render(scene_of([thing("ring", size=20.0)]))
    rows, columns = np.nonzero(video.masks[0, 0])
    centre = (columns.mean() + 0.5, rows.mean() + 0.5)
    assert centre == pytest.approx((40.3, 29.6), abs=1)
    reach = np.hypot(columns + 0.5 - 40.3, rows + 0.5 - 29.6).max()
    assert 15 < reach < 21


@pytest.mark.parametrize("near_index", [0, 1])
def test_the_nearer_object_hides_the_other(near_index):
    near, far = thing(depth=0.0), thing(depth=1.0, colour=0.3, size=20.0)
    video = render(scene_of([near, far] if near_index == 0 else [far, near]))
    front, back = video.masks[[near_index, 1 - near_index], 0]
    assert not (front & back).any()
    np.testing.assert_array_equal(front, render(scene_of([near])).masks[0, 0])
    np.testing.assert_array_equal(back, video.full_masks[1 - near_index, 0] & ~front)
    assert video.frames[0][front].mean() > 1.3 * video.frames[0][back].mean()


def test_depth_order_may_change_during_the_video():
    first = replace(thing(), depths=(0.0, 1.0))
    second = replace(thing(), depths=(1.0, 0.0))
    video = render(scene_of([first, second], num_frames=3))
    areas = video.masks.sum(axis=(2, 3))
    assert areas[0, 0] > areas[1, 0]
    assert areas[0, 2] < areas[1, 2]


def test_blurred_objects_are_annotated_at_the_middle_of_the_exposure():
    path = CubicSpline([0.0, 1.0], [[40.0, 30.0], [60.0, 30.0]])  # 20 pixels a frame
    sharp = render(scene_of([thing(path=path, size=10.0)]))
    blurred = render(scene_of([thing(path=path, size=10.0)], exposure=1.0))
    np.testing.assert_array_equal(sharp.masks, blurred.masks)

    def touched(video):
        columns = np.flatnonzero(video.frames[0].max(axis=(0, 2)) > 60)
        return columns.min(), columns.max()

    (left, right), (far_left, far_right) = touched(sharp), touched(blurred)
    assert left - far_left == pytest.approx(9, abs=2)
    assert far_right - right == pytest.approx(9, abs=2)


def test_blur_keeps_the_light():
    path = CubicSpline([-1.0, 1.0], [[10.0, 30.0], [70.0, 30.0]])
    scenes = [scene_of([thing(path=path, size=10.0)], exposure=e) for e in (0.0, 0.8)]
    sharp, blurred = (linear(render(scene).frames[0]).sum() for scene in scenes)
    assert blurred == pytest.approx(sharp, rel=0.03)


def test_visible_masks_are_those_of_a_painter():
    rng = np.random.default_rng(0)
    full = rng.random((4, 9, 11)) < 0.5
    order = [2, 0, 3, 1]
    canvas = np.full((9, 11), -1)
    for index in order:
        canvas[full[index]] = index
    visible = visible_masks(full, order)
    for index in range(4):
        np.testing.assert_array_equal(visible[index], canvas == index)


@pytest.mark.parametrize("name", DIFFICULTIES)
def test_frames_keep_their_size_and_masks_are_disjoint(name):
    options = SplitOptions("train", 3, 4, (96, 64), seed=0, difficulty=name)
    for index in range(3):
        video = generate_video(options, index)
        count = len(video.labels)
        assert video.frames.shape == (4, 64, 96, 3)
        assert video.frames.dtype == np.uint8
        assert video.masks.shape == video.full_masks.shape == (count, 4, 64, 96)
        assert video.masks.sum(axis=0).max() <= 1
        assert not (video.masks & ~video.full_masks).any()
