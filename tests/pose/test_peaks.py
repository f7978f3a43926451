"""Maps with several bumps: what is put in comes out."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tinbergen.pose.peaks import bump_loss, bump_targets, find_peaks

SIGMA, STRIDE = 1.25, 4


def logit(target):
    return torch.logit(target.clamp(1e-7, 1 - 1e-6).double())


@given(st.floats(6, 110), st.floats(6, 110), st.floats(28, 60))
def test_two_bumps_are_found_at_their_places(x, y, apart):
    other = ((x + apart) % 120, y)
    if abs(other[0] - x) < 28:
        return
    animals = torch.tensor([[[[x, y]], [other]]], dtype=torch.float64)
    target = bump_targets(animals, (32, 32), STRIDE, SIGMA)
    assert target.shape == (1, 1, 32, 32) and float(target.max()) <= 1
    places, probability = find_peaks(logit(target), STRIDE, SIGMA, 0.2, 4)
    assert (probability[0, 0, 2:] == 0).all() and places[0, 0, 2:].isnan().all()
    found = sorted(places[0, 0, :2].tolist())
    assert np.allclose(found, sorted([[x, y], list(other)]), atol=0.05)


def test_an_animal_without_a_label_makes_no_bump():
    animals = torch.full((1, 2, 1, 2), torch.nan)
    target = bump_targets(animals, (8, 8), STRIDE, SIGMA)
    assert (target == 0).all()
    places, probability = find_peaks(logit(target), STRIDE, SIGMA, 0.2, 3)
    assert places.isnan().all() and (probability == 0).all()


def test_the_higher_peak_comes_first_and_faint_ones_are_left_out():
    probability = torch.full((1, 1, 16, 16), 1e-4)
    for (row, column), height in {(3, 3): 0.5, (12, 4): 0.9, (8, 12): 0.1}.items():
        probability[0, 0, row, column] = height
    _, found = find_peaks(torch.logit(probability), STRIDE, SIGMA, 0.2, 3)
    assert found[0, 0].tolist() == pytest.approx([0.9, 0.5, 0.0])


def test_the_loss_is_least_at_the_target_and_counts_per_bump():
    animals = torch.tensor([[[[20.0, 20.0]], [[44.0, 40.0]]]])
    target = bump_targets(animals, (16, 16), STRIDE, SIGMA)
    two = torch.tensor(2)
    best = bump_loss(logit(target).float(), target, two)
    assert best < bump_loss(logit(target).float() + 0.1, target, two)
    assert best < bump_loss(logit(target).float() - 0.1, target, two)
    assert float(bump_loss(torch.zeros(1, 1, 16, 16), target, two)) == pytest.approx(
        256 * np.log(2) / 2, rel=1e-5
    )


def test_equal_neighbours_are_one_peak():
    probability = torch.full((1, 1, 12, 12), 1e-4)
    probability[0, 0, 3, 3:5] = 0.9
    probability[0, 0, 8, 8] = probability[0, 0, 9, 7] = 0.8  # across a corner
    places, found = find_peaks(torch.logit(probability), STRIDE, SIGMA, 0.2, 6)
    assert found[0, 0].tolist() == pytest.approx([0.9, 0.8, 0, 0, 0, 0])
    assert float(places[0, 0, 0, 0]) == pytest.approx((3.5 + 0.5) * STRIDE - 0.5, abs=1)


def test_more_peaks_than_a_map_has_pixels_may_be_asked_for():
    places, found = find_peaks(torch.full((2, 3, 2, 2), 1.0), STRIDE, SIGMA, 0.2, 6)
    assert places.shape == (2, 3, 6, 2) and found.shape == (2, 3, 6)
    assert (found > 0).sum(dim=-1).eq(1).all()
