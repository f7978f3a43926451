"""Dilated temporal convolutional networks."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from tinbergen.actions.gradient import GradientSegmenter
from tinbergen.actions.networks import FrameNetwork, NextFrame
from tinbergen.nn.temporal import TemporalConvolutions


@dataclass(kw_only=True, eq=False, repr=False)
class TCN(GradientSegmenter):
    """Residual blocks of dilated convolutions, each seeing twice as far as the one before.

    Parameters
    ----------
    blocks
        Their number; with ``taps`` it says how far the network sees: 5 blocks of 9 taps 248
        frames to each side.
    taps
        Length of each filter, frames, odd.
    slope
        Of the rectifiers below zero.
    normed
        Weight normalisation.
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

    blocks: int = 5
    taps: int = 9
    slope: float = 0.05
    normed: bool = False

    @property
    def dilations(self) -> tuple[int, ...]:
        """Of the blocks: 1, 2, 4, ..."""
        return tuple(2**i for i in range(self.blocks))

    def _network(self, *, weak: bool) -> nn.Module:
        trunk = TemporalConvolutions(
            self.n_features_,
            self.width,
            self.dilations,
            taps=self.taps,
            dropout=self.dropout,
            slope=self.slope,
            normed=self.normed,
        )
        ahead = None
        if self.ahead:
            ahead = NextFrame(self.width, self.n_features_, self.dilations, self.taps)
        return FrameNetwork(trunk, self.width, len(self.classes_), weak=weak, ahead=ahead)


@dataclass(kw_only=True, eq=False, repr=False)
class ReferenceTCN(TCN):
    """The network of Blau et al. 2024: two blocks, 24 frames to each side, weights normalised.

    It is trained as there on z-scores of each recording, without the smoothness term.
    """

    blocks: int = 2
    normed: bool = True
    dropout: float = 0.1
    scaling: str = "session"  # type: ignore[assignment]
    smoothness: float = 0.0
    length: int = 500
