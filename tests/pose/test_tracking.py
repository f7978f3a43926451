"""Tracking: the filter against textbook numbers, linking and stitching against brute force."""

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinbergen.errors import DataError
from tinbergen.pose import track
from tinbergen.pose.stitching import cheapest_paths, stitched
from tinbergen.pose.tracking import Motion, Scale, Tracklet, link
from tinbergen.recordings import Keypoints

SHAPE = np.array([[-20.0, 0.0], [0.0, 0.0], [20.0, 0.0], [0.0, 12.0]])  # keypoints, px


def keypoints(paths, heading=None, fps=25.0):
    """Poses along paths ``(time, animal, 2)``, turned by ``heading`` (time, animal)."""
    paths = np.asarray(paths, dtype=float)
    turn = np.zeros(paths.shape[:2]) if heading is None else heading
    cos, sin = np.cos(turn)[..., None], np.sin(turn)[..., None]
    x, y = SHAPE.T
    shape = np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)
    positions = paths[:, :, None] + shape
    n = len(positions)
    return Keypoints(
        np.arange(n) / fps,
        positions,
        np.ones(positions.shape[:3]),
        individuals=tuple(f"animal{i}" for i in range(positions.shape[1])),
    )


def shuffled(found, seed=0):
    """The same finds, in another order in each frame."""
    rng = np.random.default_rng(seed)
    n, animals = found.positions.shape[:2]
    order = np.stack([rng.permutation(animals) for _ in range(n)])
    positions = np.take_along_axis(found.positions, order[:, :, None, None], axis=1)
    confidence = np.take_along_axis(found.confidence, order[:, :, None], axis=1)
    return Keypoints(found.times, positions, confidence, individuals=found.individuals)


def same_tracks(found, true):
    """Whether each track is one animal all along, where it is there."""
    for order in itertools.permutations(range(true.positions.shape[1])):
        other = found.positions[:, order]
        known = np.isfinite(other)
        if known.any() and np.allclose(other[known], true.positions[known]):
            return True
    return False


def test_the_filter_is_that_of_the_textbook():
    """Constant velocity, one step of two matrices written out (Bar-Shalom, section 6.2.2)."""
    q, r, dt = 3.0, 2.0, 0.5
    filter_ = Motion(np.array([1.0, -1.0]), q, r)
    filter_.update(dt, np.array([2.0, 0.0]))
    F = np.array([[1, dt], [0, 1]])
    Q = q * np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
    P = F @ np.diag([r, q]) @ F.T + Q
    H = np.array([[1.0, 0.0]])
    K = P @ H.T / (H @ P @ H.T + r)
    for axis, (start, seen) in enumerate([(1.0, 2.0), (-1.0, 0.0)]):
        m = F @ np.array([start, 0.0])
        assert np.allclose(filter_.mean[:, axis], m + (K * (seen - m[0]))[:, 0])
    assert np.allclose(filter_.covariance, (np.eye(2) - K @ H) @ P)


def test_the_way_ahead_is_the_same_for_one_time_and_for_several():
    filter_ = Motion(np.array([1.0, -1.0]), 3.0, 2.0)
    filter_.update(0.5, np.array([2.0, 0.0]))
    seconds = np.array([0.1, 0.7, 4.0])
    places, variances = filter_.places_ahead(seconds)
    for when, place, variance in zip(seconds, places, variances, strict=True):
        mean, covariance = filter_.ahead(when)
        assert np.allclose(mean[0], place) and np.isclose(covariance[0, 0], variance)


def test_without_acceleration_the_filter_is_a_line_fitted_by_least_squares():
    """With q = 0 and a vague start, velocity and position are those of linear regression."""
    rng = np.random.default_rng(0)
    t = np.arange(8) * 0.1
    y = 5 + 3 * t + rng.normal(0, 0.1, 8)
    filter_ = Motion(np.array([y[0], y[0]]), 0.0, 0.01)
    filter_.covariance = np.diag([0.01, 1e9])  # the first value is a measurement
    for value in y[1:]:
        filter_.update(0.1, np.array([value, value]))
    slope, offset = np.polyfit(t, y, 1)
    assert filter_.mean[1, 0] == pytest.approx(slope, rel=1e-4)
    assert filter_.mean[0, 0] == pytest.approx(offset + slope * t[-1], rel=1e-5)


def test_animals_apart_are_one_tracklet_each():
    t = np.arange(60)[:, None] * np.array([1.0, 0.5])
    true = keypoints(np.stack([[100.0, 100.0] + t, [300.0, 300.0] - t], axis=1))
    mixed = shuffled(true)
    tracklets = link(mixed.times, mixed.positions, Scale.of(mixed.positions))
    assert sorted(len(each.frames) for each in tracklets) == [60, 60]
    assert same_tracks(track(mixed), true)


def test_animals_that_cross_keep_their_tracks():
    t = np.arange(80, dtype=float)
    one = np.stack([100 + 3 * t, 200 + 0 * t], axis=-1)
    other = np.stack([340 - 3 * t, 204 + 0 * t], axis=-1)
    heading = np.stack([0 * t, np.pi + 0 * t], axis=1)
    true = keypoints(np.stack([one, other], axis=1), heading)
    assert same_tracks(track(shuffled(true)), true)


def test_an_animal_that_was_hidden_gets_its_track_back():
    t = np.arange(80, dtype=float)
    one = np.stack([100 + 2 * t, 200 + 0 * t], axis=-1)
    other = np.stack([100 + 2 * t, 400 + 0 * t], axis=-1)
    true = keypoints(np.stack([one, other], axis=1))
    positions, confidence = true.positions.copy(), true.confidence.copy()
    positions[30:50, 0], confidence[30:50, 0] = np.nan, 0
    hidden = shuffled(Keypoints(true.times, positions, confidence, individuals=true.individuals))
    found = track(hidden)
    assert same_tracks(found, true)
    assert np.isfinite(found.positions[:30]).all() and np.isfinite(found.positions[50:]).all()


def test_times_not_frame_numbers_decide_how_far_an_animal_may_have_gone():
    t = np.arange(40, dtype=float)
    true = keypoints(np.stack([[100.0, 100.0] + np.stack([4 * t, 0 * t], -1)], axis=1))
    slow = Keypoints(true.times * 100, true.positions, true.confidence)
    scale = Scale.of(true.positions)
    assert len(link(true.times, true.positions, scale)) == 1
    assert (
        scale.motion(np.zeros(2)).ahead(0.04)[1][0, 0]
        < scale.motion(np.zeros(2)).ahead(4)[1][0, 0]
    )
    assert len(link(slow.times, slow.positions, scale)) == 1


def test_a_track_for_each_animal_and_no_more():
    rng = np.random.default_rng(1)
    true = keypoints(rng.uniform(0, 900, (30, 3, 2)))
    found = track(true, animals=2)
    assert found.individuals == ("track0", "track1")
    assert (found.confidence >= 0).all()


def test_no_animal_has_no_size():
    nothing = Keypoints(np.arange(4.0), np.full((4, 2, 3, 2), np.nan), individuals=("a", "b"))
    with pytest.raises(DataError, match="two keypoints of an animal"):
        track(nothing)


def test_a_track_is_not_split_while_another_is_empty():
    t = np.arange(80, dtype=float)
    path = np.stack([100 + 2 * t, 200 + 0 * t], axis=-1)
    there = np.ones(80, dtype=bool)
    there[30:45] = False
    positions = np.full((80, 3, len(SHAPE), 2), np.nan)
    positions[there, 0] = path[there, None] + SHAPE + [0, 30]
    positions[:30, 0] -= [0, 30]  # it does not come back quite where it was going
    found = track(Keypoints(t / 25, positions, individuals=("a", "b", "c")))
    used = np.isfinite(found.positions).all(axis=(2, 3)).any(axis=0)
    assert used.sum() == 1


def test_animals_whose_keypoints_coincide_are_tracked():
    positions = np.full((10, 2, 3, 2), 50.0)
    positions[:, 1] = 300.0
    found = track(Keypoints(np.arange(10) / 25, positions, individuals=("a", "b")))
    assert np.ptp(found.positions, axis=0).max() == 0


def brute_force(links, dropped, n, begun):
    """The least cost over all ways to give every tracklet a path, or to drop it."""
    m = len(dropped)
    best = np.inf
    for owner in itertools.product(range(-1, n), repeat=m):
        cost = sum(dropped[i] for i in range(m) if owner[i] < 0)
        for path in range(n):
            members = [i for i in range(m) if owner[i] == path]
            cost += sum(links[a, b] for a, b in itertools.pairwise(members))
            cost += begun if members else 0.0
        best = min(best, cost)
    return best


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 3))
def test_paths_are_the_cheapest_of_all(seed, m, n):
    rng = np.random.default_rng(seed)
    links = np.full((m, m), 1e9)
    later = np.triu_indices(m, 1)  # tracklets are numbered by their start
    links[later] = np.where(rng.random(len(later[0])) < 0.3, 1e9, rng.uniform(0, 5, len(later[0])))
    dropped = rng.uniform(0, 6, m)
    begun = rng.uniform(0, 4)
    paths = cheapest_paths(links, dropped, n, begun)
    assert len(paths) == n
    used = [i for path in paths for i in path]
    assert len(used) == len(set(used))
    cost = sum(dropped[i] for i in range(m) if i not in used)
    cost += sum(links[a, b] for path in paths for a, b in itertools.pairwise(path))
    cost += begun * sum(bool(path) for path in paths)
    assert cost == pytest.approx(brute_force(links, dropped, n, begun))


def single_finds(found):
    """Each find a tracklet of its own, as if every frame were an encounter."""
    scale = Scale.of(found.positions)
    tracklets = []
    for frame, poses in enumerate(found.positions):
        for row, pose in enumerate(poses):
            if np.isfinite(pose).all():
                tracklets.append(Tracklet(scale.motion(pose.mean(axis=0)), pose, [frame], [row]))
    return tracklets


@pytest.mark.parametrize("at_once", [4, 7, 50])
def test_stretches_join_what_the_whole_recording_joins(at_once):
    t = np.arange(120, dtype=float)
    true = keypoints(np.stack([[100 + t, 100 + 0 * t], [400 - t, 260 + 0 * t]]).transpose(2, 0, 1))
    positions = true.positions.copy()
    positions[20:80, 0] = np.nan  # hidden for longer than a stretch lasts
    hidden = shuffled(Keypoints(true.times, positions, individuals=true.individuals))
    tracklets = single_finds(hidden)
    whole = stitched(hidden.times, hidden.positions, tracklets, 2)
    parts = stitched(hidden.times, hidden.positions, tracklets, 2, at_once)
    assert sorted(map(len, whole)) == [60, 120]
    assert sorted(parts) == sorted(whole)


def test_an_hour_of_contact_needs_no_more_memory_than_a_minute():
    n = 1500
    t = np.arange(n, dtype=float)
    path = np.stack([100 + 50 * np.sin(t / 20), 100 + 50 * np.cos(t / 20)], axis=-1)
    true = shuffled(keypoints(np.stack([path, path + [0, 150]], axis=1)))
    tracklets = single_finds(true)
    tracemalloc.start()
    paths = stitched(true.times, true.positions, tracklets, 2, 100)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sorted(map(len, paths)) == [n, n]
    assert peak < 5e6  # the whole table of links would be 72 MB
