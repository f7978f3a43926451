"""Attention blocks against the kernel of torch."""

import pytest
import torch

from tinbergen.nn import transformer


@pytest.mark.parametrize("masked", [False, True])
def test_attention_written_out_is_attention(masked):
    """In bfloat16 with gradients, against the kernel of torch in float32."""
    torch.manual_seed(0)
    parts = [torch.randn(5, 2, 7, 8).bfloat16().requires_grad_() for _ in range(3)]
    seen = None
    if masked:
        seen = torch.rand(5, 1, 1, 7) < 0.6
        seen[..., 0] = True
    out = transformer.attend(parts[0], parts[1], parts[2], seen)
    found = [out, *torch.autograd.grad(out.float().square().sum(), parts)]
    wide = [p.detach().float().requires_grad_() for p in parts]
    out = torch.nn.functional.scaled_dot_product_attention(*wide, attn_mask=seen)
    right = [out, *torch.autograd.grad(out.square().sum(), wide)]
    for got, want in zip(found, right, strict=True):
        torch.testing.assert_close(got.float(), want, rtol=0.05, atol=0.05)
