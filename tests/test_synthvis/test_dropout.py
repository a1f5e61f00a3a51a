from dataclasses import replace
from itertools import groupby

import cv2
import numpy as np
import pytest

from mmtaformer.synthvis import (
    DIFFICULTIES,
    KINDS,
    Dropout,
    SplitOptions,
    generate_video,
)
from mmtaformer.synthvis.dropout import Weakness, sample_strengths, weaken
from mmtaformer.utils.errors import UsageError

DEFORM = SplitOptions("val", 4, 8, (96, 64), seed=0, difficulty="deform")
IDENTITY = replace(DEFORM, difficulty="identity", num_frames=10)


def with_dropout(options, **changes):
    return replace(options, dropout=replace(options.level.dropout, **changes))


def test_runs_and_gaps_have_the_lengths_that_were_asked_for():
    dropout = Dropout(run=(2, 3), gap=(1, 4), strength=0.8)
    strengths = sample_strengths(np.random.default_rng(0), dropout, 20, 200)
    assert set(strengths.ravel()) == {0.0, 0.8}
    found = {False: set(), True: set()}
    for row in strengths > 0:
        runs = [(value, len(list(group))) for value, group in groupby(row)]
        for value, length in runs[1:-1]:  # the ends are cut
            found[bool(value)].add(length)
    assert found == {True: {2, 3}, False: {1, 2, 3, 4}}


def test_share_of_weakened_frames_is_that_of_run_and_gap():
    rng = np.random.default_rng(0)
    strengths = sample_strengths(rng, Dropout((1, 2), (1, 3)), 400, 24)
    assert strengths.mean() == pytest.approx(1.5 / 3.5, abs=0.02)


@pytest.mark.parametrize("num_frames", [1, 2, 5])
def test_every_object_is_untouched_once(num_frames):
    rng = np.random.default_rng(0)
    strengths = sample_strengths(rng, Dropout((4, 4), (1, 1)), 50, num_frames)
    assert strengths.shape == (50, num_frames)
    assert (strengths == 0).any(axis=1).all()


def test_three_frames_of_identity_have_one_that_tells_who_is_who():
    for index in range(3):
        shown = generate_video(IDENTITY, index).visibilities > 0
        assert (shown == shown[:1]).all()
        windows = np.lib.stride_tricks.sliding_window_view(shown[0], 3)
        assert (windows.sum(axis=1) == 1).all()


def sprite():
    """A disc in one colour: (32, 32, 4)."""
    alpha = cv2.circle(np.zeros((32, 32), np.float32), (16, 16), 10, 1.0, -1)
    colour = np.array([0.2, 0.8, 0.4, 1.0], np.float32)
    return alpha[..., None] * colour


def weakened(kind, strength, time=0):
    background = np.array([0.5, 0.1, 0.3])
    return weaken(
        sprite(), Weakness(kind, np.array([strength, 0]), background, 7), time
    )


@pytest.mark.parametrize("kind", KINDS)
def test_strength_is_how_much_is_lost(kind):
    def loss(strength):
        return np.abs(weakened(kind, strength) - sprite()).sum()

    losses = [loss(strength) for strength in (0, 0.3, 0.6, 1)]
    assert losses[0] == 0
    assert losses == sorted(losses) and len(set(losses)) == 4
    np.testing.assert_array_equal(weakened(kind, 1, time=1), sprite())


@pytest.mark.parametrize("kind", ["fade", "noise"])
def test_nothing_is_drawn_at_full_strength(kind):
    assert not weakened(kind, 1).any()


def test_colours_at_full_strength():
    inside = sprite()[..., 3] > 0
    background, grey = (weakened(kind, 1)[inside] for kind in ("background", "grey"))
    np.testing.assert_allclose(
        background, [[0.5, 0.1, 0.3, 1]] * inside.sum(), rtol=1e-5
    )
    np.testing.assert_allclose(grey[:, :3], grey[:, :1].repeat(3, axis=1))


@pytest.mark.parametrize("options", [DEFORM, IDENTITY], ids=["deform", "identity"])
def test_a_strength_changes_pixels_of_weakened_frames_alone(options):
    full, none = (
        generate_video(with_dropout(options, strength=s), 1) for s in (1.0, 0.0)
    )
    assert (none.visibilities == 1).all()
    np.testing.assert_array_equal(full.masks, none.masks)
    np.testing.assert_array_equal(full.labels, none.labels)
    changed = (full.frames != none.frames).any(axis=(1, 2, 3))
    np.testing.assert_array_equal(changed, (full.visibilities < 1).any(axis=0))


def test_objects_that_are_not_drawn_leave_the_background():
    """Frames in which nobody is drawn are those of a scene without objects."""
    video = generate_video(with_dropout(DEFORM, run=(3, 3), together=True), 0)
    shown = generate_video(with_dropout(DEFORM, strength=0.0), 0)
    (blank,) = np.where((video.visibilities == 0).all(axis=0))
    assert blank.size
    for time in blank:
        inside = video.masks[:, time].any(axis=0)
        assert inside.any()
        away = np.abs(video.frames[time].astype(int) - shown.frames[time])[inside]
        assert away.mean() > 5


def test_grey_objects_are_told_apart_by_nothing_but_their_place():
    """Mean colours of the objects agree where they are grey, and differ elsewhere."""
    spreads = {True: [], False: []}
    for index in range(4):
        video = generate_video(IDENTITY, index)
        for time, frame in enumerate(video.frames):
            masks = video.masks[:, time]
            if min(masks.sum(axis=(1, 2))) < 60:
                continue
            chroma = [np.ptp(frame[mask].mean(axis=0)) for mask in masks]
            spreads[bool(video.visibilities[0, time])].append(max(chroma))
    assert max(spreads[False]) < 40 < 80 < min(spreads[True])


def test_identical_objects_have_a_class_of_their_own():
    for index in range(4):
        labels = generate_video(IDENTITY, index).labels
        assert len(set(labels.tolist())) == len(labels) >= 2
    assert IDENTITY.classes == ("red", "cyan")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (dict(run=(0, 2)), "run is 0 to 2"),
        (dict(gap=(3, 1)), "gap is 3 to 1"),
        (dict(strength=1.5), "strength is 1.5"),
        (dict(kind="fog"), "kind is 'fog'.*fade"),
    ],
)
def test_wrong_options_are_named(wrong, message):
    with pytest.raises(UsageError, match=message):
        Dropout(**wrong)


def test_levels_that_show_everything_take_no_dropout():
    with pytest.raises(UsageError, match="'easy' shows.*deform and identity"):
        replace(DEFORM, difficulty="easy", dropout=Dropout())
    assert all(DIFFICULTIES[n].dropout is None for n in ("easy", "medium", "hard"))


def test_older_levels_are_described_as_before():
    """Data of these levels that were written earlier are still the same data."""
    knobs = replace(DEFORM, difficulty="hard").describe()["knobs"]
    assert list(knobs)[-1] == "noise" and len(knobs) == 20
    assert DEFORM.describe()["knobs"]["dropout_run"] == [1, 2]
