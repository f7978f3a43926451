"""Dilated temporal convolutional networks."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from tinbergen.actions.gradient import GradientSegmenter, check_stride
from tinbergen.actions.networks import FrameNetwork, NextFrame, PooledTokens
from tinbergen.actions.scaling import Scaling
from tinbergen.actions.segmenter import check_least
from tinbergen.errors import ConfigError
from tinbergen.nn.attention_pool import HEADS, AttentionPool
from tinbergen.nn.temporal import CoarseConvolutions, TemporalConvolutions


@dataclass(kw_only=True, eq=False, repr=False)
class TCN(GradientSegmenter):
    """Residual blocks of dilated convolutions, each seeing twice as far as the one before.

    Parameters
    ----------
    blocks
        Their number; with ``taps`` and ``stride`` it says how far the network sees: 4 blocks of 9
        taps at a stride of 4 about 490 frames to each side, 2 blocks at a stride of 1 24 frames.
    stride
        Frames that are condensed to one before the blocks, even; 1 = none.
    taps
        Length of each filter, frames, odd.
    slope
        Of the rectifiers below zero.
    normed
        Weight normalisation.
    tokens
        Features are so many tokens of one width side by side, the patches of a frame: they are
        pooled by attention first (:class:`~tinbergen.nn.attention_pool.AttentionPool`). 1 = they
        are no tokens.
    others
        See :class:`~tinbergen.actions.gradient.GradientSegmenter`.

    Examples
    --------
    >>> import numpy as np
    >>> codes = np.repeat([0, 1, 0, 1], 100)
    >>> x = codes[:, None] + np.random.default_rng(0).normal(size=(400, 3))
    >>> TCN(blocks=2, epochs=20).fit([x], [codes]).predict_proba([x])[0].shape
    (400, 2)
    """

    blocks: int = 4
    stride: int = 4
    learning_rate: float = 2e-3
    softened: float = 0.1
    taps: int = 9
    slope: float = 0.05
    normed: bool = False
    tokens: int = 1

    @property
    def dilations(self) -> tuple[int, ...]:
        """Of the blocks: 1, 2, 4, ..."""
        return tuple(2**i for i in range(self.blocks))

    @property
    def _outputs(self) -> int:
        return len(self.classes_)

    def check_parameters(self) -> None:
        """See that the parameters are of use; see :class:`Segmenter`."""
        super().check_parameters()
        check_stride(self.stride)
        check_least(self, tokens=1)
        if self.tokens > 1 and self.width % HEADS:
            raise ConfigError(
                f"width: expected a multiple of {HEADS}, so many heads pool the tokens, found "
                f"{self.width}."
            )

    def _network(self, *, weak: bool) -> nn.Module:
        pooled = self.tokens > 1
        if self.n_features_ % self.tokens:
            raise ConfigError(
                f"tokens: {self.n_features_} features are not {self.tokens} tokens of one width."
            )
        shape = (self.width if pooled else self.n_features_, self.width, self.dilations)
        more = {
            "taps": self.taps,
            "dropout": self.dropout,
            "slope": self.slope,
            "normed": self.normed,
        }
        trunk: nn.Module = (
            TemporalConvolutions(*shape, **more)
            if self.stride == 1
            else CoarseConvolutions(*shape, stride=self.stride, **more)
        )
        if pooled:
            width = self.n_features_ // self.tokens
            trunk = PooledTokens(AttentionPool(self.tokens, width, self.width), trunk)
        ahead = None
        if self.ahead:
            ahead = NextFrame(self.width, self.n_features_, self.dilations, self.taps)
        return FrameNetwork(trunk, self.width, self._outputs, weak=weak, ahead=ahead)


@dataclass(kw_only=True, eq=False, repr=False)
class ReferenceTCN(TCN):
    """The network of Blau et al. 2024: two blocks, 24 frames to each side, weights normalised.

    It is trained as there on z-scores of each recording, without the smoothness term.
    """

    blocks: int = 2
    stride: int = 1
    normed: bool = True
    dropout: float = 0.1
    scaling: Scaling = "session"
    learning_rate: float = 1e-3
    smoothness: float = 0.0
    softened: float = 0.0
    length: int = 500
