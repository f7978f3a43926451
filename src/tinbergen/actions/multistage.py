"""The multi-stage temporal convolutional network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from tinbergen.actions.gradient import GradientSegmenter
from tinbergen.actions.networks import MultiStage
from tinbergen.errors import ConfigError
from tinbergen.nn.temporal import TemporalConvolutions


@dataclass(kw_only=True, eq=False, repr=False)
class MultiStageTCN(GradientSegmenter):
    """Stages of dilated convolutions, of which each refines the opinion of the one before.

    Parameters
    ----------
    stages
        Their number.
    blocks, taps
        Of each stage; dilations 1, 2, 4, ...
    slope
        Of the rectifiers below zero.
    others
        See :class:`~tinbergen.actions.gradient.GradientSegmenter`; ``ahead``, ``pseudo`` and weak
        labels need a second head, which this network has not.

    References
    ----------
    Farha & Gall 2019, "MS-TCN: multi-stage temporal convolutional network for action
    segmentation"; with two convolutions a block, as in :class:`~tinbergen.actions.TCN`.
    """

    takes_weak: ClassVar[bool] = False

    stages: int = 3
    blocks: int = 5
    taps: int = 5
    slope: float = 0.05

    def check_parameters(self) -> None:
        """See that the parameters are of use; see :class:`Segmenter`."""
        super().check_parameters()
        self._refuse_heads(self.ahead > 0 or self.pseudo is not None)

    def _network(self, *, weak: bool) -> nn.Module:
        self._refuse_heads(weak)
        classes = len(self.classes_)
        trunks: list[nn.Module] = [
            TemporalConvolutions(
                self.n_features_ if stage == 0 else classes,
                self.width,
                tuple(2**i for i in range(self.blocks)),
                taps=self.taps,
                dropout=self.dropout,
                slope=self.slope,
            )
            for stage in range(self.stages)
        ]
        return MultiStage(trunks, self.width, classes)

    def _refuse_heads(self, asked: bool) -> None:
        if asked:
            raise ConfigError(
                "A multi-stage TCN has one head: it learns neither from weak or pseudo-labels "
                "nor to predict features. Use a TCN for these."
            )
