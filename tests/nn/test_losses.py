"""Losses against closed forms and brute force."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tinbergen.nn.infonce import infonce
from tinbergen.nn.masked_mse import masked_mse


def pairs(n):
    return torch.arange(n // 2).repeat(2)


@pytest.mark.parametrize(
    ("batch", "expected"),
    [(2, 0), (4, 0.551445), (8, 1.165422), (16, 1.816503), (32, 2.487934), (128, 3.857626),
     (256, 4.547979)],
)  # fmt: skip
def test_identical_pairs_otherwise_orthogonal(batch, expected):
    z = torch.eye(batch // 2).repeat(2, 1)
    result = infonce(z, pairs(batch))
    assert result.loss.item() == pytest.approx(expected, abs=1e-5)
    assert result.top1.item() == 1


def test_temperature():
    z = torch.eye(64).repeat(2, 1)
    assert infonce(z, pairs(128), 0.1).loss.item() == pytest.approx(0.00570409, abs=1e-6)


@pytest.mark.parametrize(("batch", "expected"), [(8, 1.945910), (128, 4.844187)])
def test_collapse_gives_log_of_candidates(batch, expected):
    for z in (torch.ones(batch, 5), torch.eye(batch)):
        result = infonce(z, pairs(batch))
        assert result.loss.item() == pytest.approx(expected, abs=1e-5)
        assert result.chance.item() == pytest.approx(1 / (batch - 1))


def test_swapping_anchors_and_positives_changes_nothing():
    torch.manual_seed(0)
    z = torch.randn(12, 6)
    swapped = torch.cat([z[6:], z[:6]])
    one, other = infonce(z, pairs(12), 0.2), infonce(swapped, pairs(12), 0.2)
    assert one.loss.item() == pytest.approx(other.loss.item(), abs=1e-6)


def brute(z, group, temperature, exclude, queries):
    """Plain loops over the definition."""
    z = z / z.norm(dim=1, keepdim=True)
    losses = []
    for i in range(len(z)):
        partners = [j for j in range(len(z)) if j != i and group[j] == group[i]]
        if not partners or not queries[i]:
            continue
        allowed = [j for j in range(len(z)) if j != i and (j in partners or not exclude[i, j])]
        total = sum(math.exp(float(z[i] @ z[j]) / temperature) for j in allowed)
        terms = [math.log(total) - float(z[i] @ z[j]) / temperature for j in partners]
        losses.append(sum(terms) / len(terms))
    return sum(losses) / len(losses) if losses else 0.0


@given(seed=st.integers(0, 10_000), n=st.integers(2, 9), groups=st.integers(1, 4))
@settings(deadline=None, max_examples=60)
def test_against_brute_force(seed, n, groups):
    g = torch.Generator().manual_seed(seed)
    z = torch.randn(n, 4, generator=g)
    group = torch.randint(groups, (n,), generator=g)
    exclude = torch.rand(n, n, generator=g) < 0.3
    queries = torch.rand(n, generator=g) < 0.7
    result = infonce(z, group, 0.5, exclude=exclude, queries=queries)
    expected = brute(z, group, 0.5, exclude, queries)
    assert result.loss.item() == pytest.approx(expected, abs=1e-4)


def test_asymmetric_form_is_the_mean_over_anchors():
    torch.manual_seed(1)
    z = torch.randn(10, 4)
    first = torch.arange(10) < 5
    both = infonce(z, pairs(10), 0.3).loss
    anchors = infonce(z, pairs(10), 0.3, queries=first).loss
    others = infonce(z, pairs(10), 0.3, queries=~first).loss
    assert both.item() == pytest.approx((anchors.item() + others.item()) / 2, abs=1e-6)


def test_gathered_candidates_give_the_whole_batch():
    torch.manual_seed(2)
    z, group = torch.randn(12, 4), torch.arange(4).repeat_interleave(3)
    mine = torch.arange(12) < 6
    whole = infonce(z, group, 0.3, queries=mine).loss
    part = infonce(z[:6], group[:6], 0.3, candidates=z, candidate_group=group).loss
    assert part.item() == pytest.approx(whole.item(), abs=1e-6)


def test_no_pair_gives_zero_and_no_nan_gradient():
    z = torch.randn(3, 4, requires_grad=True)
    result = infonce(z, torch.arange(3))
    result.loss.backward()
    assert result.loss.item() == 0
    assert z.grad is not None and torch.isfinite(z.grad).all()


def test_gradient_by_finite_differences():
    z = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)

    def loss(x):  # infonce works in float32; its formula is checked in float64 here
        from unittest import mock

        with mock.patch.object(torch.Tensor, "float", lambda self: self):
            return infonce(x, pairs(6), 0.5).loss

    assert torch.autograd.gradcheck(loss, z)


def test_masked_mse_averages_over_patches():
    prediction, target = torch.zeros(2, 3, 4), torch.ones(2, 3, 4)
    target[0, 0] = 3
    assert masked_mse(prediction, target).item() == pytest.approx((9 + 5) / 6)
    weight = torch.zeros(2, 3)
    weight[0, 0] = 2
    assert masked_mse(prediction, target, weight).item() == pytest.approx(9)


def test_masked_mse_of_nothing_is_zero():
    empty = torch.zeros(2, 0, 4)
    assert masked_mse(empty, empty).item() == 0
    ones = torch.ones(2, 3, 4)
    assert masked_mse(ones, 0 * ones, torch.zeros(2, 3)).item() == 0
