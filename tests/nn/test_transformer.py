"""Attention blocks against the kernel of torch."""

import pytest
import torch

from tinbergen.nn import transformer


@pytest.mark.parametrize("masked", [False, True])
def test_attention_in_parts_is_attention(monkeypatch, masked):
    """A few samples at once, or all, with and without tokens that are not there."""
    torch.manual_seed(0)
    parts = [torch.randn(5, 2, 7, 8).bfloat16().requires_grad_() for _ in range(3)]
    seen = None
    if masked:
        seen = torch.rand(5, 1, 1, 7) < 0.6
        seen[..., 0] = True
    found = []
    for at_once in (1, 2 * 2 * 7 * 7, 10**9):
        monkeypatch.setattr(transformer, "_SCORES_AT_ONCE", at_once)
        out = transformer.attend(parts[0], parts[1], parts[2], seen)
        found.append([out, *torch.autograd.grad(out.float().square().sum(), parts)])
    wide = [p.detach().float().requires_grad_() for p in parts]
    out = torch.nn.functional.scaled_dot_product_attention(*wide, attn_mask=seen)
    right = [out, *torch.autograd.grad(out.square().sum(), wide)]
    for each in found:
        for got, want in zip(each, right, strict=True):
            torch.testing.assert_close(got.float(), want, rtol=0.05, atol=0.05)
