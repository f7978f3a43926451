"""Pose-neural InfoNCE, maximum mean discrepancy and gradient reversal: numbers worked by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tinbergen.nn.infonce import paired_infonce
from tinbergen.nn.mmd import mmd2, mmd2_to_rest
from tinbergen.nn.reversal import reversal_weight, reverse_gradient


def test_orthonormal_pairs_have_their_closed_form():
    eye = torch.eye(4)
    assert paired_infonce(eye, eye, 0.1).from_first.item() == pytest.approx(1.361905e-4, rel=1e-3)
    assert paired_infonce(eye, eye, 1.0).from_second.item() == pytest.approx(0.743668, abs=1e-6)
    both = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert paired_infonce(both, both, 0.5).from_first.item() == pytest.approx(0.01814993, abs=1e-7)


def test_each_direction_has_its_own_softmax():
    pose = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    neural = torch.tensor([[math.cos(0.3), math.sin(0.3)], [0.0, 1.0]])
    found = paired_infonce(pose, neural, 0.1)
    assert found.from_first.item() == pytest.approx(4.712563e-4, rel=1e-3)
    assert found.from_second.item() == pytest.approx(7.036703e-4, rel=1e-3)
    summed = paired_infonce(pose, neural, 0.1, reduction="sum")
    assert summed.from_second.item() == pytest.approx(1.407341e-3, rel=1e-3)
    swapped = paired_infonce(neural, pose, 0.1)
    assert swapped.from_first == found.from_second
    assert swapped.from_second == found.from_first


def test_equal_embeddings_are_at_chance_and_do_not_move():
    z = torch.ones(8, 3, requires_grad=True)
    loss = paired_infonce(z, torch.ones(8, 3)).loss
    assert loss.item() == pytest.approx(2 * math.log(8), abs=1e-5)
    loss.backward()
    assert z.grad is not None
    torch.testing.assert_close(z.grad, torch.zeros_like(z), atol=1e-6, rtol=0)


def test_blocks_only_hold_their_own_negatives():
    first, second = torch.randn(3, 5, 4), torch.randn(3, 5, 4)
    each = [paired_infonce(a, b).loss for a, b in zip(first, second, strict=True)]
    torch.testing.assert_close(paired_infonce(first, second).loss, torch.stack(each).mean())


@given(st.integers(0, 10_000), st.integers(2, 9), st.floats(0.01, 5))
@settings(max_examples=25)
def test_what_never_matters(seed, n, temperature):
    generator = torch.Generator().manual_seed(seed)
    a, b = torch.randn(2, n, 6, generator=generator)
    loss = paired_infonce(a, b, temperature).loss
    assert loss >= -1e-5
    assert torch.isfinite(loss)
    order = torch.randperm(n, generator=generator)
    lengths = torch.rand(n, 1, generator=generator) * 3 + 0.1
    same = paired_infonce((a * lengths)[order], b[order], temperature).loss
    torch.testing.assert_close(same, loss, rtol=1e-4, atol=1e-4)


def test_mmd_by_hand():
    point, other = torch.zeros(1, 1), torch.ones(1, 1)
    assert mmd2(point, other, [1.0]).item() == pytest.approx(2 - 2 * math.exp(-0.5))
    a, b = torch.tensor([[0.0], [1.0]]), torch.tensor([[2.0], [3.0]])
    assert mmd2(a, b, [1.0]).item() == pytest.approx(1.1623755)
    assert mmd2(a, b, [1.0], unbiased=True).item() == pytest.approx(0.7689062)
    assert mmd2(a, a, [1.0], unbiased=True).item() == pytest.approx(math.exp(-0.5) - 1)


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 6))
@settings(max_examples=25)
def test_mmd_is_a_discrepancy(seed, n, m):
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(n, 3, generator=generator)
    b = torch.randn(m, 3, generator=generator)
    assert mmd2(a, a, [0.5, 2.0]).item() == 0.0
    found = mmd2(a, b, [0.5, 2.0])
    assert -1e-6 <= found.item() <= 2
    torch.testing.assert_close(found, mmd2(b, a, [0.5, 2.0]))
    shuffled = a[torch.randperm(n, generator=generator)]
    torch.testing.assert_close(found, mmd2(shuffled, b, [0.5, 2.0]))


def test_discrepancy_to_the_rest_is_that_of_each_against_all_others():
    x = torch.randn(3, 4, 2)
    flat = x.flatten(0, 1)
    median = torch.cdist(flat, flat).flatten().median()
    widths = [s * median for s in (0.25, 0.5, 1.0, 2.0, 4.0)]
    each = [mmd2(x[i], torch.cat([x[j] for j in range(3) if j != i]), widths) for i in range(3)]
    torch.testing.assert_close(mmd2_to_rest(x), torch.stack(each).mean(), rtol=1e-4, atol=1e-5)
    assert mmd2_to_rest(x[:1]).item() == 0.0


def test_gradient_is_reversed_in_front_of_the_classifier_alone():
    x, weight = torch.ones(4, requires_grad=True), torch.full((4,), 2.0, requires_grad=True)
    (reverse_gradient(x, 0.5) * weight).sum().backward()
    assert x.grad is not None
    assert weight.grad is not None
    torch.testing.assert_close(x.grad, torch.full((4,), -1.0))
    torch.testing.assert_close(weight.grad, torch.ones(4))
    torch.testing.assert_close(reverse_gradient(x, 3.0), x)
    blocked = torch.ones(2, requires_grad=True)
    reverse_gradient(blocked, 0.0).sum().backward()
    assert blocked.grad is not None
    assert not blocked.grad.any()


def test_schedule_of_the_reversal():
    expected = {0: 0, 0.1: 0.4621172, 0.25: 0.8482836, 0.5: 0.9866143, 1: 0.9999092}
    for progress, weight in expected.items():
        assert reversal_weight(progress) == pytest.approx(weight, abs=1e-7)
