"""One vector from many tokens: each head looks where it wants."""

from __future__ import annotations

import torch
from torch import Tensor, nn

HEADS = 4
"""Heads, if nothing else is said."""


class AttentionPool(nn.Module):
    """Pool the tokens of each frame by attention with learned questions.

    A head's weights are a softmax over tokens of what the token holds and where it stands; pooled
    are linear values of the tokens, to which a vector of their place is added, so that it is kept
    where a head looked.

    Parameters
    ----------
    tokens, inputs
        Tokens a frame, and the width of each.
    width
        Of the result, a multiple of ``heads``.
    heads
        Their number.

    References
    ----------
    Lee et al. 2019, "Set transformer", section 3.2 (pooling by multihead attention), with linear
    keys and values.

    Examples
    --------
    >>> AttentionPool(6, 8, 4, heads=2)(torch.zeros(2, 48, 10)).shape
    torch.Size([2, 4, 10])
    """

    def __init__(self, tokens: int, inputs: int, width: int, heads: int = HEADS):
        super().__init__()
        self.tokens, self.heads = tokens, heads
        self.score = nn.Linear(inputs, heads)
        self.value = nn.Linear(inputs, width)
        self.score_place = nn.Parameter(torch.zeros(tokens, heads))
        self.value_place = nn.Parameter(torch.randn(tokens, width) * inputs**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(batch, width, time)`` from ``(batch, tokens * inputs, time)``."""
        batch, _, time = x.shape
        each = x.transpose(1, 2).reshape(batch, time, self.tokens, -1)
        weights = (self.score(each) + self.score_place).softmax(dim=2)
        values = (self.value(each) + self.value_place).unflatten(3, (self.heads, -1))
        pooled = torch.einsum("btnh,btnhd->bthd", weights, values)
        return pooled.flatten(2).transpose(1, 2)
