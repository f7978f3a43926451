"""Neighbour tables and swapping."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_animals import make_animals

from tinbergen.crossanimal.neighbours import find_neighbours
from tinbergen.crossanimal.swap import Swapper
from tinbergen.crossanimal.tables import Scaling, Tables
from tinbergen.errors import DataError


def poses(lengths=(60, 90, 40), columns=3, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    animal = np.repeat(np.arange(len(lengths)), lengths)
    return rng.standard_normal((len(animal), columns)).astype(np.float32) + shift * animal[
        :, None
    ], animal


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_candidates_are_the_nearest_by_brute_force():
    pose, animal = poses()
    table = find_neighbours(pose, animal, ["a", "b", "c"], neighbours=10)
    assert table.rows.shape == (190, 2, 5)
    assert (table.rows.dtype, table.log_weights.dtype) == (np.int32, np.float16)
    for row in (0, 70, 180):
        for d, donor in enumerate(table.donor_ids[animal[row]]):
            bank = np.flatnonzero(animal == donor)
            distance = np.linalg.norm(pose[bank] - pose[row], axis=1)
            order = np.argsort(distance)[:5]
            np.testing.assert_array_equal(table.rows[row, d], bank[order])
            expected = -(distance[order] - distance[order[0]]) / table.bandwidth
            np.testing.assert_allclose(table.log_weights[row, d], expected, atol=2e-3)


def test_draws_follow_the_weights_and_donors_are_uniform():
    pose, animal = poses()
    swapper = Swapper.of(find_neighbours(pose, animal, ["a", "b", "c"], neighbours=8))
    n = 100_000
    rows = torch.full((n,), 3)
    drawn = swapper.draw(rows, torch.tensor(0), generator())
    from_longer = (animal[drawn] == 1).mean()
    assert abs(from_longer - 0.5) < 3 * 0.5 / n**0.5
    one = swapper.draw(rows, torch.tensor(0), generator(1), torch.tensor(1)).numpy()
    expected = torch.softmax(swapper.log_weights[3, 1].float(), 0).numpy()
    for row, p in zip(swapper.rows[3, 1].numpy(), expected, strict=True):
        assert abs((one == row).mean() - p) < 3.5 * (p * (1 - p) / n) ** 0.5


@given(st.floats(0, 1), st.integers(0, 99), st.integers(1, 7))
def test_what_a_swap_leaves_and_what_it_takes(probability, seed, length):
    pose, animal = poses(lengths=(30, 20, 25), seed=seed)
    table = find_neighbours(pose, animal, ["a", "b", "a"], neighbours=6)
    swapper = Swapper.of(table)
    rows = torch.randint(0, len(pose), (4, length), generator=generator(seed))
    owner = torch.from_numpy(animal)[rows]
    swapped = swapper.swap(rows, owner, probability, generator(seed + 1))
    assert (swapped.shape, swapped.dtype) == (rows.shape, rows.dtype)
    changed = swapped != rows
    subjects = np.array(["a", "b", "a"])
    who = subjects[animal[swapped.numpy()]]
    assert (who[changed] != subjects[owner.numpy()][changed]).all()
    if probability == 0:
        assert not changed.any()
    if probability == 1:
        assert changed.all()
    for before, after in zip(rows[changed].tolist(), swapped[changed].tolist(), strict=True):
        donor = list(table.donor_ids[animal[before]]).index(animal[after])
        farthest = table.rows[before, donor, -1]
        gap = np.linalg.norm(pose[after] - pose[before])
        assert gap <= np.linalg.norm(pose[farthest] - pose[before]) + 1e-5


def test_a_vanishing_bandwidth_takes_the_nearest():
    pose, animal = poses()
    table = find_neighbours(pose, animal, ["a", "b", "c"], neighbours=10, bandwidth=1e-9)
    assert np.isfinite(table.log_weights).all()
    swapper = Swapper.of(table)
    drawn = swapper.draw(torch.arange(190), torch.from_numpy(animal), generator(), torch.tensor(1))
    np.testing.assert_array_equal(drawn, table.rows[:, 1, 0])


def test_windows_are_compared_within_segments():
    pose, animal = poses(lengths=(50, 50))
    table = find_neighbours(pose, animal, ["a", "b"], neighbours=1, half_width=2, components=15)
    around = np.clip(np.arange(50)[:, None] + np.arange(-2, 3), 0, 49)
    first, second = pose[:50][around].reshape(50, -1), pose[50:][around].reshape(50, -1)
    nearest = np.linalg.norm(first[:, None] - second[None], axis=2).argmin(axis=1)
    np.testing.assert_array_equal(table.rows[:50, 0, 0], nearest + 50)


def test_missing_poses_neither_give_nor_take():
    pose, animal = poses()
    pose[[5, 70], 0] = np.nan
    table = find_neighbours(pose, animal, ["a", "b", "c"], neighbours=10)
    assert (table.rows[[5, 70]] == -1).all()
    assert not np.isin(table.rows, [5, 70]).any()
    swapper = Swapper.of(table)
    rows = torch.tensor([5, 70])
    kept = swapper.swap(rows, torch.tensor([0, 1]), 1.0, generator())
    assert kept.tolist() == [5, 70]


def test_distance_ratio_tells_whether_swapping_can_work():
    alike = find_neighbours(*poses((400, 400, 400)), ["a", "b", "c"])
    assert 0.8 < alike.ratio < 1.2
    alike.warn_if_far()
    apart = find_neighbours(*poses((400, 400, 400), shift=5.0), ["a", "b", "c"])
    assert apart.ratio > 4
    with pytest.warns(UserWarning, match="times as far"):
        apart.warn_if_far()


def test_tables_are_kept_by_their_content(tmp_path):
    pose, animal = poses()
    first = find_neighbours(pose, animal, ["a", "b", "c"], cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    again = find_neighbours(pose, animal, ["a", "b", "c"], cache=tmp_path)
    for name in ("rows", "log_weights", "donors", "cross"):
        np.testing.assert_array_equal(getattr(again, name), getattr(first, name))
    assert again.bandwidth == first.bandwidth
    find_neighbours(pose + 1, animal, ["a", "b", "c"], cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_one_animal_cannot_swap():
    pose, animal = poses((50,))
    with pytest.raises(DataError, match="two animals"):
        find_neighbours(pose, animal, ["a"])


def test_memory_is_that_of_the_candidates():
    pose, animal = poses((500,) * 5)
    table = find_neighbours(pose, animal, list("abcde"), neighbours=40)
    assert table.rows.nbytes + table.log_weights.nbytes == 2500 * 40 * 6


def test_poses_of_the_tables_keep_their_gaps():
    animals, _ = make_animals(2)
    assert animals[0].pose is not None
    animals[0].pose[3, 1] = np.nan
    tables = Tables.of(animals, Scaling.of(animals))
    pose, segment = tables.poses()
    assert np.argwhere(np.isnan(pose)).tolist() == [[3, 1]]
    assert not torch.isnan(tables.pose).any()
    assert len(np.unique(segment)) == 2
