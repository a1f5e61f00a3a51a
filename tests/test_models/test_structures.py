"""Geometry of features by loops, and windows against slices of the whole clip."""

import pytest
import torch

from mmtaformer.models.structures import (
    ClipFeatures,
    encoder_reference_points,
    frame_windows,
)

SHAPES = ((3, 4), (2, 2))
NUM_TOKENS = 16


def features(num_frames=7, frames_per_chunk=None, temporal=True, by_video=False):
    generator = torch.Generator().manual_seed(0)
    ratios = torch.tensor([[[1.0, 1.0], [1.0, 1.0]], [[0.5, 1.0], [0.5, 1.0]]])
    times = (2, num_frames, 6) if by_video else (num_frames, 6)
    return ClipFeatures(
        tokens=torch.randn(2, num_frames, NUM_TOKENS, 6, generator=generator),
        spatial_shapes=SHAPES,
        spatial_pos=torch.randn(2, NUM_TOKENS, 6, generator=generator),
        temporal_pos=torch.randn(times, generator=generator) if temporal else None,
        reference_points=encoder_reference_points(SHAPES, ratios),
        valid_ratios=ratios,
        frames_per_chunk=frames_per_chunk,
        frame_ids=torch.randint(99, (2, num_frames), generator=generator),
    )


def test_reference_points_are_the_pixel_centres_in_every_level():
    ratios = torch.tensor([[[1.0, 1.0], [1.0, 1.0]], [[0.75, 0.5], [0.5, 1.0]]])
    points = encoder_reference_points(SHAPES, ratios)
    assert points.shape == (2, NUM_TOKENS, 2, 2)
    for clip in range(2):
        token = 0
        for level, (height, width) in enumerate(SHAPES):
            for row in range(height):
                for column in range(width):
                    # In parts of the unpadded image, then of each padded level.
                    x = (column + 0.5) / (width * ratios[clip, level, 0])
                    y = (row + 0.5) / (height * ratios[clip, level, 1])
                    for other in range(len(SHAPES)):
                        w, h = ratios[clip, other]
                        expected = torch.stack([x * w, y * h])
                        actual = points[clip, token, other]
                        torch.testing.assert_close(actual, expected)
                    token += 1


@pytest.mark.parametrize("temporal", [True, False])
def test_position_is_the_sum_of_space_and_time(temporal):
    clip = features(3, temporal=temporal)
    position = clip.position.expand(-1, 3, -1, -1)
    for t in range(3):
        expected = clip.spatial_pos + (clip.temporal_pos[t] if temporal else 0)
        assert torch.equal(position[:, t], expected)


def test_position_of_clips_that_lie_elsewhere_in_their_videos():
    clip = features(3, by_video=True)
    for b in range(2):
        for t in range(3):
            expected = clip.spatial_pos[b] + clip.temporal_pos[b, t]
            assert torch.equal(clip.position[b, t], expected)


def test_level_maps_are_images_of_the_tokens():
    clip = features(3)
    maps = clip.level_maps(2)
    assert [tuple(m.shape) for m in maps] == [(6, 6, 3, 4), (6, 6, 2, 2)]
    for b, t in ((0, 0), (1, 2)):
        assert torch.equal(maps[0][3 * b + t, :, 2, 1], clip.tokens[b, t, 2 * 4 + 1])
        assert torch.equal(maps[1][3 * b + t, :, 1, 0], clip.tokens[b, t, 12 + 2])
    assert len(clip.level_maps(1)) == 1


@pytest.mark.parametrize("step", [None, 1, 3, 7, 20])
def test_windows_are_all_frames_once_in_order(step):
    slices = list(frame_windows(7, step))
    assert [t for s in slices for t in range(7)[s]] == list(range(7))
    assert all(s.stop - s.start <= (step or 7) for s in slices)
    windows = list(features(frames_per_chunk=step).windows())
    assert [window.frames for window in windows] == slices


@pytest.mark.parametrize("by_video", [False, True])
@pytest.mark.parametrize("halo", [0, 1, 2, 5])
@pytest.mark.parametrize("step", [None, 1, 2, 3, 7])
def test_a_window_comes_with_its_neighbours(step, halo, by_video):
    clip = features(frames_per_chunk=step, by_video=by_video)
    for window in clip.windows(halo):
        around = slice(max(window.frames.start - halo, 0), window.frames.stop + halo)
        expected = clip.select(around)
        assert torch.equal(window.features.tokens, expected.tokens)
        assert torch.equal(window.features.position, expected.position)
        assert torch.equal(window.features.position, clip.position[:, around])
        assert torch.equal(window.features.frame_ids, clip.frame_ids[:, around])
        own = window.features.select(window.inner)
        assert torch.equal(own.tokens, clip.tokens[:, window.frames])


@pytest.mark.parametrize("step", [1, 2, 3])
def test_windows_may_be_overwritten_when_they_are_done(step):
    clip, untouched = features(frames_per_chunk=step), features()
    for window in clip.windows(halo=2):
        around = slice(max(window.frames.start - 2, 0), window.frames.stop + 2)
        assert torch.equal(window.features.tokens, untouched.tokens[:, around])
        clip.tokens[:, window.frames] = -1.0
    assert (clip.tokens == -1).all()


def test_one_window_copies_nothing():
    clip = features()
    (window,) = clip.windows(halo=2)
    assert clip.in_one_window
    assert window.features.tokens.data_ptr() == clip.tokens.data_ptr()
