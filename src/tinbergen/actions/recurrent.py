"""Recurrent networks, and the temporal perceptron: networks without dilated convolutions."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from tinbergen.actions.gradient import GradientSegmenter
from tinbergen.actions.networks import FrameNetwork, NextFrame, RecurrentNetwork, WindowNetwork


@dataclass(kw_only=True, eq=False, repr=False)
class TemporalMLP(GradientSegmenter):
    """A perceptron of a window of frames.

    Parameters
    ----------
    taps
        Frames of the window, odd.
    layers
        Behind the window.
    slope
        Of the rectifiers below zero.
    others
        See :class:`~tinbergen.actions.gradient.GradientSegmenter`.
    """

    taps: int = 9
    layers: int = 2
    slope: float = 0.05

    def _network(self, *, weak: bool) -> nn.Module:
        trunk = WindowNetwork(
            self.n_features_, self.width, self.taps, self.layers, self.dropout, self.slope
        )
        return _with_heads(self, trunk, weak)


@dataclass(kw_only=True, eq=False, repr=False)
class GRU(GradientSegmenter):
    """Gated recurrent units in both directions.

    Parameters
    ----------
    layers
        Recurrent layers.
    others
        See :class:`~tinbergen.actions.gradient.GradientSegmenter`.
    """

    layers: int = 2
    learning_rate: float = 3e-3
    length: int = 500

    def _network(self, *, weak: bool) -> nn.Module:
        trunk = RecurrentNetwork("gru", self.n_features_, self.width, self.layers, self.dropout)
        return _with_heads(self, trunk, weak)


@dataclass(kw_only=True, eq=False, repr=False)
class LSTM(GRU):
    """Long short-term memory in both directions; parameters as of :class:`GRU`."""

    def _network(self, *, weak: bool) -> nn.Module:
        trunk = RecurrentNetwork("lstm", self.n_features_, self.width, self.layers, self.dropout)
        return _with_heads(self, trunk, weak)


def _with_heads(model: GradientSegmenter, trunk: nn.Module, weak: bool) -> nn.Module:
    ahead = NextFrame(model.width, model.n_features_, (1, 2), 9) if model.ahead else None
    return FrameNetwork(trunk, model.width, len(model.classes_), weak=weak, ahead=ahead)
