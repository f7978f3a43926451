"""Part affinity fields against the numbers of the paper's definitions and exhaustive search."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tinbergen.pose.affinity import group_candidates, limb_targets, line_affinities

LIMB = torch.tensor([[0, 1]])


def field(direction):
    """A field that points the same way everywhere, ``(1, 1, 2, 16, 16)``."""
    return torch.tensor(direction, dtype=torch.float32)[None, None, :, None, None].expand(
        1, 1, 2, 16, 16
    )


@pytest.mark.parametrize(
    ("direction", "expected"),
    [((1, 0), 1.0), ((0, 1), 0.0), ((2**-0.5, 2**-0.5), 0.70711), ((-1, 0), -1.0)],
)
def test_line_integral_along_across_and_at_45_degrees(direction, expected):
    candidates = torch.tensor([[[[10.0, 30.0]], [[50.0, 30.0]]]])
    found = line_affinities(field(direction), candidates, LIMB, 4)
    assert found.shape == (1, 1, 1, 1)
    assert float(found) == pytest.approx(expected, abs=1e-4)


def test_missing_candidates_have_no_affinity():
    candidates = torch.tensor([[[[10.0, 30.0]], [[np.nan, np.nan]]]])
    assert float(line_affinities(field((1, 0)), candidates, LIMB, 4)) == 0


def test_targets_point_along_the_limb_and_are_read_back_as_one():
    animals = torch.tensor([[[[10.0, 10.0], [40.0, 50.0]], [[50.0, 10.0], [np.nan, np.nan]]]])
    fields, count = limb_targets(animals, LIMB, (16, 16), 4)
    assert int(count) == 1  # the second animal lacks an end
    lengths = fields.norm(dim=2)
    on = lengths > 0
    assert torch.allclose(lengths[on], torch.ones(()), atol=1e-5)
    assert torch.allclose(fields[0, 0, :, on[0, 0]].T, torch.tensor([0.6, 0.8]), atol=1e-5)
    candidates = animals[:, :1].transpose(1, 2)
    assert float(line_affinities(fields, candidates, LIMB, 4)) == pytest.approx(1, abs=0.02)


def test_where_limbs_cross_the_field_is_their_mean():
    animals = torch.tensor([[[[2.0, 30.0], [60.0, 30.0]], [[30.0, 2.0], [30.0, 60.0]]]])
    fields, count = limb_targets(animals, LIMB, (16, 16), 4)
    assert int(count) == 2
    assert torch.allclose(fields[0, 0, :, 7, 7], torch.tensor([0.5, 0.5]))


@given(st.integers(0, 10_000), st.integers(2, 3), st.integers(2, 4))
def test_grouping_on_a_tree_is_the_best_of_all(seed, n_animals, n_keypoints):
    rng = np.random.default_rng(seed)
    limbs = np.array([[rng.integers(k), k] for k in range(1, n_keypoints)])
    affinity = rng.uniform(0.3, 1, (len(limbs), n_animals, n_animals))
    grouped = group_candidates(affinity, np.ones((n_keypoints, n_animals)), limbs, n_animals)

    def total(animals):
        return sum(
            affinity[limb, animal[i], animal[j]]
            for animal in animals
            for limb, (i, j) in enumerate(limbs)
        )

    orders = list(itertools.permutations(range(n_animals)))
    best = max(
        total(np.stack([range(n_animals), *others], axis=1))
        for others in itertools.product(orders, repeat=n_keypoints - 1)
    )
    assert total(grouped) == pytest.approx(best)
    assert all(set(column) == set(range(n_animals)) for column in grouped.T)


def test_a_ring_holds_an_animal_together_where_a_keypoint_is_missing():
    limbs = np.array([[0, 1], [1, 2], [0, 2]])
    probability = np.array([[0.9], [0.0], [0.8]])  # the middle of a chain is hidden
    affinity = np.array([[[0.0]], [[0.0]], [[0.9]]])
    assert group_candidates(affinity, probability, limbs, 2).tolist() == [[0, -1, 0], [-1, -1, -1]]
    assert group_candidates(affinity[:2], probability, limbs[:2], 2).tolist() == [
        [0, -1, -1],
        [-1, -1, 0],
    ]


def test_an_animal_never_has_two_of_one_keypoint():
    limbs = np.array([[0, 1], [1, 2], [0, 2]])
    affinity = np.zeros((3, 2, 2))
    affinity[0] = [[0.9, 0], [0, 0.8]]
    affinity[1] = [[0.7, 0], [0, 0.6]]
    affinity[2] = [[0, 0.5], [0.5, 0]]  # contradicts the other two, and is less sure
    grouped = group_candidates(affinity, np.ones((3, 2)), limbs, 2)
    assert sorted(grouped.tolist()) == [[0, 0, 0], [1, 1, 1]]


def test_fragments_beyond_the_number_of_animals_are_left_out_the_least_sure_first():
    probability = np.array([[0.9, 0.4, 0.6]])
    grouped = group_candidates(np.zeros((0, 3, 3)), probability, np.zeros((0, 2), int), 2)
    assert grouped.tolist() == [[0], [2]]
