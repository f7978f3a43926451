"""Dropout of one's own, against what the word promises."""

import pytest
import torch

from tinbergen.nn.dropout import Dropout


@pytest.mark.parametrize("p", [0.1, 0.4, 0.999])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_share_and_scale(p, dtype):
    torch.manual_seed(0)
    x = torch.ones(301, 1001, dtype=dtype)
    y = Dropout(p)(x)
    assert y.dtype == dtype
    kept = y != 0
    n = x.numel()
    spread = (p * (1 - p) / n) ** 0.5
    assert abs(float((~kept).double().mean()) - p) < 5 * spread + 2**-17
    torch.testing.assert_close(y[kept], torch.full_like(y[kept], 1 / (1 - p)), rtol=0.02, atol=0)
    # No pattern of the four values that share their bits.
    assert (
        torch.corrcoef(kept.double().flatten()[: n // 4 * 4].view(-1, 4).T).triu(1).abs().max()
        < 5 / (n / 4) ** 0.5
    )


def test_gradient_is_of_what_was_kept():
    x = torch.randn(7, 5, requires_grad=True)
    y = Dropout(0.5)(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(gradient * x, y)
    assert set(gradient.unique().tolist()) <= {0.0, 2.0}


def test_seed_decides():
    x, drop = torch.ones(1000), Dropout(0.3)
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(drop(x))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


@pytest.mark.parametrize("p", [0.0, 0.7, 1.0])
def test_ends_and_evaluation(p):
    x = torch.randn(3, 4)
    assert Dropout(p).eval()(x) is x
    if p in (0.0, 1.0):
        torch.testing.assert_close(Dropout(p)(x), x * (1 - p))
