"""What the TCN encoder's presets differ in, and what belongs to one of its sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tinbergen.encoding.design import FeatureMap, Scale
from tinbergen.encoding.inputs import Table
from tinbergen.saving import Saved


@dataclass(frozen=True)
class Preset:
    """What the presets of :class:`TCN` differ in, besides the network.

    Attributes
    ----------
    components
        Principal components of the features; None = the features, standardised.
    filter_length
        Bins; None = by the length of the segments.
    epochs, learning_rate, weight_decay
        Of AdamW.
    poisson
        Whether counts are learned by Poisson likelihood; else smoothed, by squared error.
    early_stop
        Whether the number of steps is chosen on the validation rows.
    """

    components: int | None
    filter_length: int | None
    epochs: int
    learning_rate: float
    weight_decay: float
    poisson: bool
    early_stop: bool


PRESETS = {
    "facemap": Preset(None, 201, 100, 1e-3, 1e-4, poisson=False, early_stop=False),
    "tinbergen": Preset(32, None, 30, 1e-2, 1e-1, poisson=True, early_stop=True),
}


class TCNSession(Saved):
    """What belongs to one session of a :class:`TCN`.

    Attributes
    ----------
    features_
        From raw features to the network's inputs.
    units_
        ``(unit,)`` bool: units of which something is known; the others are predicted as NaN.
    mean_, scale_
        ``(known unit,)`` of the targets that were fitted.
    vector_
        Whether the target had no unit axis.
    """

    features_: FeatureMap
    units_: np.ndarray
    mean_: np.ndarray
    scale_: np.ndarray
    vector_: bool
    _parts: ClassVar[Mapping[str, type[Saved]]] = {"features_": FeatureMap}

    @classmethod
    def of(
        cls,
        table: Table,
        components: int | None,
        groups: Sequence[int] | None,
        scale: Scale,
    ) -> TCNSession:
        """Fit inputs and outputs to the known rows."""
        session = cls()
        features = FeatureMap(components, scale, groups=groups)
        session.features_ = features.fit(table.rows.x, table.known)
        session.units_ = table.units
        y = table.y[table.known][:, table.units]
        session.mean_ = y.mean(axis=0, dtype=np.float64)
        session.scale_ = np.ones(len(session.mean_))
        return session
