import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tinbergen.actions.kinematics import (
    angles,
    ego_aligned,
    interpolated,
    motion_energy,
    pairwise_distances,
    turning,
    velocity,
    window_statistics,
)
from tinbergen.errors import DataError


def test_velocity_and_motion_energy_of_a_known_path():
    path = np.array([1.0, 4.0, 2.0])
    assert_array_equal(velocity(path), [0, 3, -2])
    assert_array_equal(motion_energy(path), [0, 3, 2])


def test_gaps_are_filled_on_straight_lines_and_edges_keep_the_nearest():
    path = np.array([[np.nan, 0.0], [1.0, np.nan], [np.nan, np.nan], [4.0, 3.0], [np.nan, 3.0]])
    before = path.copy()
    assert_allclose(interpolated(path), [[1, 0], [1, 1], [2.5, 2], [4, 3], [4, 3]])
    assert_array_equal(path, before)


def test_long_gaps_and_paths_without_a_value_stay_unknown():
    path = np.array([1.0, np.nan, np.nan, 4.0, np.nan, 6.0])
    assert_allclose(interpolated(path, longest=1), [1, np.nan, np.nan, 4, 5, 6])
    assert np.isnan(interpolated(np.full(4, np.nan))).all()


def test_the_animal_sees_itself_alike_wherever_it_is_and_looks():
    rng = np.random.default_rng(0)
    body = rng.normal(size=(1, 5, 2))
    turns = rng.uniform(0, 2 * np.pi, 20)
    rotation = np.stack(
        [
            np.stack([np.cos(turns), -np.sin(turns)], 1),
            np.stack([np.sin(turns), np.cos(turns)], 1),
        ],
        axis=1,
    )
    moved = np.einsum("tij,kj->tki", rotation, body[0]) + rng.normal(size=(20, 1, 2)) * 100
    seen = ego_aligned(moved, origin=2, front=0)
    assert_allclose(seen, np.broadcast_to(seen[:1], seen.shape), atol=1e-4)
    assert_allclose(seen[:, 2], 0)
    length = float(np.linalg.norm(body[0, 0] - body[0, 2]))
    assert_allclose(seen[:, 0], np.broadcast_to([length, 0], (20, 2)), atol=1e-4)


def test_distances_of_all_pairs():
    triangle = np.array([[[0.0, 0.0], [3.0, 0.0], [3.0, 4.0]]])
    distances, pairs = pairwise_distances(triangle)
    assert pairs == [(0, 1), (0, 2), (1, 2)]
    assert_allclose(distances, [[3, 5, 4]])


def test_a_straight_body_has_angle_zero_and_a_right_angle_is_one():
    straight = [[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]]
    bent = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]
    assert_allclose(angles(np.array([straight, bent]), (0, 1, 2)), [[0], [np.pi / 2]])
    with pytest.raises(DataError, match="three"):
        angles(np.array([straight]), (0, 1))


def test_turning_in_a_circle_is_even():
    phase = np.arange(10) * 0.3
    found = turning(np.stack([np.cos(phase), np.sin(phase)], axis=1))
    assert_allclose(found, [0, *[0.3] * 9])


@given(
    st.lists(st.none() | st.floats(-1e3, 1e3), min_size=1, max_size=30),
    st.integers(0, 6),
)
def test_window_statistics_are_those_of_the_known_frames_in_the_window(values, half):
    x = np.array([np.nan if v is None else v for v in values])[:, None]
    mean, deviation = window_statistics(x, 2 * half + 1)
    for t in range(len(x)):
        part = x[max(0, t - half) : t + half + 1]
        part = part[np.isfinite(part)]
        if not len(part):
            assert np.isnan(mean[t, 0])
            continue
        assert_allclose(mean[t, 0], part.mean(), atol=1e-6)
        assert_allclose(deviation[t, 0], part.std(), atol=1e-3)
