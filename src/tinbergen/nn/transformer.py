"""Attention and pre-norm transformer blocks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinbergen.nn.dropout import Dropout
from tinbergen.nn.rotary import rotate


def attend(query: Tensor, key: Tensor, value: Tensor, seen: Tensor | None = None) -> Tensor:
    """Softmax attention over ``(batch, head, token, channel)``, without dropout.

    ``seen`` ``(batch, 1, 1, token)`` bool says which tokens are there; default: all.

    On an accelerator, and in float32 on a CPU, this is the fused kernel. In bfloat16 its backward
    is slow on a CPU, so while gradients are recorded the three products are written out there.
    """
    written_out = query.dtype == torch.bfloat16 and torch.is_grad_enabled()
    if query.device.type != "cpu" or not written_out:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=seen)
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
    if seen is not None:
        scores = scores.masked_fill(~seen, float("-inf"))
    return scores.softmax(dim=-1) @ value


class SelfAttention(nn.Module):
    """Multi-head self-attention with one fused projection for query, key and value."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is not a multiple of the number of heads {heads}")
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(
        self,
        x: Tensor,
        wanted: slice = slice(None),
        *,
        turn: tuple[Tensor, Tensor] | None = None,
        seen: Tensor | None = None,
    ) -> Tensor:
        """Map ``(batch, token, width)`` to the same shape, or to the ``wanted`` tokens of it.

        ``turn`` holds rotary positions, see :func:`tinbergen.nn.rotary.rotation`; ``seen`` says
        which tokens are there, see :func:`attend`.
        """
        batch, tokens, width = x.shape
        qkv = self.qkv(x).view(batch, tokens, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        if turn is not None:
            query, key = rotate(query, turn), rotate(key, turn)
        mixed = attend(query[:, :, wanted], key, value, seen)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Pre-norm transformer block: ``x + attention(norm(x))``, then ``x + mlp(norm(x))``.

    The last block of a network need only make the tokens that somebody reads.

    ``dropout`` is of what the two branches add, not of attention weights: the fused kernels have
    none for these.
    """

    def __init__(self, width: int, heads: int, hidden: int, norm_eps: float, dropout: float = 0.0):
        super().__init__()
        self.dropout = Dropout(dropout)
        self.norm1 = nn.LayerNorm(width, eps=norm_eps)
        self.attention = SelfAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=norm_eps)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(
        self,
        x: Tensor,
        wanted: slice = slice(None),
        *,
        turn: tuple[Tensor, Tensor] | None = None,
        seen: Tensor | None = None,
    ) -> Tensor:
        """Map ``(batch, token, width)`` to the same shape, or to the ``wanted`` tokens of it.

        See :class:`SelfAttention`.
        """
        mixed = self.attention(self.norm1(x), wanted, turn=turn, seen=seen)
        x = x[:, wanted] + self.dropout(mixed)
        return x + self.dropout(self.mlp(self.norm2(x)))


def init_transformer(module: nn.Module, depth: int) -> None:
    """Initialise linear layers with Xavier-uniform weights and zero biases, as MAE does.

    The last layer of each residual branch is scaled by ``1 / sqrt(2 depth)``, so that the sum of
    all branches starts no larger than what they are added to (Radford et al. 2019, section 2.3).
    """
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    for part in module.modules():
        if isinstance(part, Block):
            for last in (part.attention.out, part.mlp[2]):
                with torch.no_grad():
                    last.get_parameter("weight").mul_((2 * depth) ** -0.5)
