"""Targets and decoding against closed forms: what a Gaussian is, and where it lies."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tinbergen.pose.heatmaps import decode, gaussian_targets, to_image, to_map

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
