"""Recurrent networks, and the temporal perceptron: networks without dilated convolutions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from tinbergen.actions.gradient import GradientSegmenter, check_stride
from tinbergen.actions.networks import FrameNetwork, NextFrame, RecurrentNetwork, WindowNetwork
from tinbergen.nn.temporal import Coarse


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
    """Gated recurrent units in both directions, on coarse frames.

    Parameters
    ----------
    layers
        Recurrent layers.
    stride
        Frames that are condensed to one before them, even; 1 = none. A step of the recurrence
        costs about the same however few numbers there are, so that 4 take a quarter of the time;
        for the same reason there are many short stretches in a batch, and one layer.
    others
        See :class:`~tinbergen.actions.gradient.GradientSegmenter`.
    """

    layers: int = 1
    stride: int = 4
    learning_rate: float = 8e-3
    length: int = 500
    batch_size: int = 32
    epochs: int = 10
    _kind: ClassVar[str] = "gru"

    def check_parameters(self) -> None:
        """See that the parameters are of use; see :class:`Segmenter`."""
        super().check_parameters()
        check_stride(self.stride)

    def _network(self, *, weak: bool) -> nn.Module:
        def recurrent(inputs: int) -> nn.Module:
            return RecurrentNetwork(self._kind, inputs, self.width, self.layers, self.dropout)

        if self.stride == 1:
            return _with_heads(self, recurrent(self.n_features_), weak)
        shape, coarse = (self.n_features_, self.width), {"stride": self.stride}
        trunk = Coarse(*shape, lambda: recurrent(self.width), **coarse, dropout=self.dropout)
        return _with_heads(self, trunk, weak)


@dataclass(kw_only=True, eq=False, repr=False)
class LSTM(GRU):
    """Long short-term memory in both directions; parameters as of :class:`GRU`."""

    _kind: ClassVar[str] = "lstm"


def _with_heads(model: GradientSegmenter, trunk: nn.Module, weak: bool) -> nn.Module:
    ahead = NextFrame(model.width, model.n_features_, (1, 2), 9) if model.ahead else None
    return FrameNetwork(trunk, model.width, len(model.classes_), weak=weak, ahead=ahead)
