from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from mmtaformer.synthvis.difficulty import DIFFICULTIES, get_difficulty
from mmtaformer.synthvis.scene import sample_scene
from mmtaformer.utils.errors import UsageError

SIZE = (160, 96)
MEDIUM = DIFFICULTIES["medium"]


def scenes(difficulty, count=12):
    for seed in range(count):
        yield sample_scene(np.random.default_rng(seed), difficulty, 12, SIZE)


def pairs_of(scene):
    groups = defaultdict(list)
    for thing in scene.things:
        if thing.label is not None:
            groups[thing.group].append(thing)
    return [group for group in groups.values() if len(group) == 2]


def test_look_alikes_share_class_texture_and_size():
    difficulty = replace(MEDIUM, lookalike_probability=1.0, objects=(2, 4))
    pairs = [pair for scene in scenes(difficulty) for pair in pairs_of(scene)]
    assert len(pairs) >= 12
    for first, second in pairs:
        assert first.label == second.label
        assert first.shape.kind == second.shape.kind
        assert first.motion.size == second.motion.size
        assert np.abs(first.texture - second.texture).mean() < 0.1
        assert not np.array_equal(first.texture, second.texture)
        assert not np.array_equal(first.shape.phases, second.shape.phases)


def test_look_alikes_meet_and_part():
    difficulty = replace(MEDIUM, lookalike_probability=1.0, leave_probability=0.0)
    times = np.linspace(0, 11, 200)
    distances = [
        np.linalg.norm(
            first.motion.position(times) - second.motion.position(times), axis=1
        )
        / first.motion.size
        for scene in scenes(difficulty)
        for first, second in pairs_of(scene)
    ]
    assert np.median([d.min() for d in distances]) < 0.6
    assert np.median([d.max() for d in distances]) > 2


def test_no_pairs_where_none_are_wanted():
    difficulty = replace(MEDIUM, lookalike_probability=0.0)
    assert not any(pairs_of(scene) for scene in scenes(difficulty))


@pytest.mark.parametrize("name", DIFFICULTIES)
def test_counts_follow_the_difficulty(name):
    difficulty = get_difficulty(name)
    for scene in scenes(difficulty):
        objects = [thing for thing in scene.things if thing.label is not None]
        posts = [thing for thing in scene.things if thing.shape.kind == "post"]
        moving_clutter = len(scene.things) - len(objects) - len(posts)
        for count, bounds in (
            (len(objects), difficulty.objects),
            (len(posts), difficulty.posts),
            (moving_clutter, difficulty.distractors),
        ):
            assert bounds[0] <= count <= bounds[1]


def test_depths_keep_their_order_without_swaps():
    for scene in scenes(replace(MEDIUM, depth_swap=0.0), count=4):
        assert all(thing.depths[0] == thing.depths[1] for thing in scene.things)


def test_an_unknown_difficulty_is_named():
    with pytest.raises(UsageError, match="'extreme'.*easy.*hard.*medium"):
        get_difficulty("extreme")


def test_balls_of_identity_share_all_but_motion_and_colour_and_meet():
    times = np.linspace(0, 11, 200)
    nearest = []
    for scene in scenes(DIFFICULTIES["identity"]):
        first, second = (thing for thing in scene.things if thing.label is not None)
        assert {first.label, second.label} == {0, 1}
        assert first.shape == second.shape and first.shape.kind == "ball"
        assert first.motion.size == second.motion.size
        grey = [thing.texture.max(axis=2) for thing in (first, second)]
        np.testing.assert_allclose(*grey, atol=0.1)
        places = [thing.motion.position(times) for thing in (first, second)]
        nearest.append(np.linalg.norm(places[0] - places[1], axis=1).min())
        nearest[-1] /= first.motion.size
    assert np.median(nearest) < 0.6
