"""Targets and decoding against closed forms: what a Gaussian is, and where it lies."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tinbergen.pose.heatmaps import decode, decode_apart, gaussian_targets, to_image, to_map

SIGMA = 1.25
FLOOR = -60.0  # exp of it is nothing, and finite


def logits_of(positions, size, stride, sigma=SIGMA):
    return gaussian_targets(positions, size, stride, sigma).log().clamp_min(FLOOR)


def test_an_interior_target_is_the_normal_density():
    target = gaussian_targets(torch.tensor([129.5, 129.5]), (64, 64), 4, SIGMA)
    assert float(target.max()) == pytest.approx(1 / (2 * math.pi * SIGMA**2), abs=1e-5)
    assert float(target.max()) == pytest.approx(0.10186, abs=1e-5)
    assert float(target.sum()) == pytest.approx(1, abs=1e-5)
    assert float(target[30:35, 30:35].sum()) == pytest.approx(0.9219, abs=2e-3)


def test_a_target_far_outside_is_still_a_distribution():
    target = gaussian_targets(torch.tensor([[1e4, -1e4]]), (16, 16), 4, SIGMA)
    assert torch.isfinite(target).all()
    assert float(target.sum()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("stride", [2, 4, 8, 16])
def test_pixel_centres(stride):
    # The first pixel of the map covers pixels 0 to stride - 1, whose middle is (stride - 1) / 2.
    first = to_image(torch.zeros(2), stride)
    assert first.tolist() == [(stride - 1) / 2] * 2
    assert to_map(first, stride).tolist() == [0, 0]


@pytest.mark.parametrize("stride", [2, 4, 8, 16])
@given(x=st.floats(0, 191), y=st.floats(0, 255))
def test_gaussians_are_found_everywhere(stride, x, y):
    positions = torch.tensor([[x, y]])
    found, confidence = decode(
        logits_of(positions, (256 // stride, 192 // stride), stride), stride, SIGMA
    )
    assert (found - positions).abs().max() < 0.05
    assert 0.85 < float(confidence) <= 1


def test_borders_and_corners():
    edges = torch.tensor([[0, 0], [191, 255], [0, 255], [191, 0], [3, 253], [95.5, 0]]).float()
    for stride in (2, 4, 8, 16):
        logits = logits_of(edges, (256 // stride, 192 // stride), stride)
        assert (decode(logits, stride, SIGMA)[0] - edges).abs().max() < 0.05


def test_the_example_that_others_are_measured_with():
    position = torch.tensor([[81.3, 119.6]])
    found, _ = decode(logits_of(position, (64, 64), 4), 4, SIGMA)
    assert found[0].tolist() == pytest.approx([81.3, 119.6], abs=0.003)


@pytest.mark.parametrize("width", [0.8, 1.25])
def test_a_bump_of_another_width_moves_little(width):
    positions = torch.rand(200, 2, generator=torch.Generator().manual_seed(0)) * 200 + 25
    found, _ = decode(logits_of(positions, (64, 64), 4) * width, 4, SIGMA)
    assert (found - positions).norm(dim=1).max() < 0.1 * 4


@pytest.mark.parametrize("side", [32, 64, 96])
def test_a_uniform_map_has_no_confidence(side):
    _, confidence = decode(torch.zeros(1, side, side), 4, SIGMA)
    assert float(confidence) < 25 / side**2 + 1e-6


def test_a_distant_second_peak_does_not_pull():
    near, far = torch.tensor([[80.2, 60.7]]), torch.tensor([[200.0, 200.0]])
    both = gaussian_targets(near, (64, 64), 4, SIGMA) + 0.9 * gaussian_targets(
        far, (64, 64), 4, SIGMA
    )
    found, confidence = decode(both.log().clamp_min(FLOOR), 4, SIGMA)
    assert (found - near).abs().max() < 0.05
    assert 0.4 < float(confidence) < 0.6


def test_leading_axes_and_bf16():
    positions = torch.rand(2, 3, 2) * 100 + 20
    logits = logits_of(positions, (40, 44), 4)
    found, confidence = decode(logits.bfloat16(), 4, SIGMA)
    assert found.shape == (2, 3, 2)
    assert confidence.shape == (2, 3)
    assert found.dtype == torch.float32
    assert (found - positions).norm(dim=-1).max() < 0.5


def test_a_flat_peak_stays_in_its_window():
    logits = torch.zeros(1, 20, 20)
    logits[0, 10, 10:14] = 5.0
    found, _ = decode(logits, 4, SIGMA)
    assert np.all(np.abs(found.numpy() - to_image(torch.tensor([[11.5, 10.0]]), 4).numpy()) < 12)


def two_peaks(first, second, share):
    """A map with a share of its probability at the first place, and the rest at the second."""
    one, other = gaussian_targets(torch.tensor([first, second]), (16, 20), 4, 1.25)
    return (share * one + (1 - share) * other).clamp_min(1e-12).log()


HERE, THERE, ELSEWHERE = (20.3, 30.1), (60.7, 12.4), (50.0, 50.0)


def test_two_animals_do_not_have_the_same_nose():
    maps = torch.stack([two_peaks(HERE, THERE, 0.6), two_peaks(HERE, THERE, 0.9)])[None]
    where, sure = decode_apart(maps, 2, 4, 1.25)
    torch.testing.assert_close(where[0], torch.tensor([THERE, HERE]), atol=0.05, rtol=0)
    plain, certain = decode(maps, 4, 1.25)
    torch.testing.assert_close(plain[0, 0], torch.tensor(HERE), atol=0.05, rtol=0)
    # What it is certain of is a share of the whole map, not of what was left.
    assert float(sure[0, 0]) == pytest.approx(0.4, abs=0.05)
    assert float(sure[0, 1]) == float(certain[0, 1])


def test_three_animals_take_the_places_that_are_left():
    def map_of(weights):
        places = torch.tensor([HERE, THERE, ELSEWHERE])
        bumps = gaussian_targets(places, (16, 20), 4, 1.25)
        return (torch.tensor(weights)[:, None, None] * bumps).sum(0).clamp_min(1e-12).log()

    weights = [[0.8, 0.15, 0.05], [0.7, 0.25, 0.05], [0.5, 0.3, 0.2]]
    maps = torch.stack([map_of(each) for each in weights])[None]
    where, _ = decode_apart(maps, 3, 4, 1.25)
    torch.testing.assert_close(where[0], torch.tensor([HERE, THERE, ELSEWHERE]), atol=0.05, rtol=0)


def test_animals_apart_are_read_as_one_is():
    generator = torch.Generator().manual_seed(0)
    places = torch.rand(5, 3, 2, generator=generator) * 50
    first = gaussian_targets(places, (16, 20), 4, 1.25)
    second = gaussian_targets(places + 20, (16, 20), 4, 1.25)
    maps = torch.cat([first, second], dim=1).clamp_min(1e-12).log()
    for found, expected in zip(decode_apart(maps, 2, 4, 1.25), decode(maps, 4, 1.25), strict=True):
        torch.testing.assert_close(found, expected, atol=0, rtol=0)
