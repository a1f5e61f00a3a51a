import numpy as np
import pytest

from mmtaformer.synthvis.motion import Motion, Walk, sample_path, still

SIZE = (160, 96)


def sample_motion(seed, num_frames=24, leave_distance=None, speed=4.0):
    rng = np.random.default_rng(seed)
    walk = Walk(num_frames, SIZE, speed, margin=15.0)
    start, time = rng.uniform([20, 20], [140, 76]), rng.uniform(0, num_frames - 1)
    path = sample_path(rng, walk, start, time, rng.uniform(0, 6), leave_distance)
    return Motion(path, bursts=0.8, burst_phase=1.0, anchor_time=time), start, time


def positions(motion, num_frames=24):
    return motion.position(np.arange(num_frames))


def is_inside(points, slack=0.0):
    return np.all((points >= -slack) & (points <= np.add(SIZE, slack)), axis=1)


@pytest.mark.parametrize("leave_distance", [None, 30.0])
@pytest.mark.parametrize("seed", range(10))
def test_path_goes_through_its_start(seed, leave_distance):
    motion, start, time = sample_motion(seed, leave_distance=leave_distance)
    np.testing.assert_allclose(motion.position(time), start, atol=1e-9)


@pytest.mark.parametrize("seed", range(10))
def test_wandering_stays_in_the_image(seed):
    assert is_inside(positions(sample_motion(seed)[0]), slack=1.0).all()


def test_leaving_things_go_out_and_come_back():
    visits = [
        is_inside(positions(sample_motion(s, leave_distance=30.0)[0]))
        for s in range(20)
    ]
    gone = [np.flatnonzero(~inside) for inside in visits]
    assert all(len(frames) > 0 for frames in gone)
    returned = [
        inside[: frames[0]].any() and inside[frames[-1] + 1 :].any()
        for inside, frames in zip(visits, gone, strict=True)
    ]
    assert np.mean(returned) > 0.5


def step_lengths(points):
    return np.linalg.norm(np.diff(points, axis=0), axis=1)


def test_speed_is_in_pixels_per_frame():
    def mean_speed(speed):
        motions = [sample_motion(seed, speed=speed)[0] for seed in range(30)]
        return np.mean([step_lengths(positions(motion)) for motion in motions])

    assert mean_speed(2.0) == pytest.approx(2.0, rel=0.3)
    assert mean_speed(4.0) == pytest.approx(4.0, rel=0.35)


def test_bursts_vary_the_speed_but_not_the_path():
    path = sample_motion(0)[0].path
    times = np.linspace(0, 14, 400)

    def speeds(bursts):
        return step_lengths(Motion(path, bursts).position(times))

    straight, bursty = speeds(0.0), speeds(0.9)
    assert bursty.min() < 0.3 * straight.min()
    assert bursty.sum() == pytest.approx(straight.sum(), rel=0.15)


def test_still_things_do_not_move():
    place = np.array([3.0, 4.0])
    motion = Motion(still(place))
    np.testing.assert_allclose(motion.position(np.array([0, 7.5, 100])), [place] * 3)
