"""Labels from rules instead of hands: thresholds on traces, and bouts of a least length.

Rough, but of every frame: weak labels for training, and a baseline that a model has to beat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tinbergen.errors import DataError
from tinbergen.metrics import bouts
from tinbergen.recordings import Labels, Series


@dataclass(frozen=True)
class Rule:
    """A behaviour holds while every trace lies inside its bounds.

    Attributes
    ----------
    label
        Name of the class.
    bounds
        Channel -> (low, high), half-open; None = no bound. In the unit of the traces.
    shortest
        Bouts of fewer frames are no bouts.

    Examples
    --------
    >>> Rule("still", {"speed": (None, 0.05)}, shortest=10).label
    'still'
    """

    label: str
    bounds: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    shortest: int = 1


def label_by_rules(traces: Series, rules: Sequence[Rule]) -> Labels:
    """Label each frame with the first rule that holds in it.

    A frame in which no rule holds, or a trace that its rule needs is NaN, stays unlabelled:
    rules abstain.

    Parameters
    ----------
    traces
        Channels that the rules name.
    rules
        The earlier one wins where several hold; each one's short bouts are left out before.

    Raises
    ------
    DataError
        If there is no rule, or a rule names a channel that is not there.
    """
    if not rules:
        raise DataError("expected at least one rule, found none.")
    classes = tuple(dict.fromkeys(rule.label for rule in rules))
    codes = np.full(len(traces), -1)
    for rule in rules:
        holds = _holds(traces, rule)
        codes[(codes < 0) & holds] = classes.index(rule.label)
    return Labels.from_frames(traces.times, codes, classes)


def _holds(traces: Series, rule: Rule) -> np.ndarray:
    holds = np.ones(len(traces), dtype=bool)
    for channel, (low, high) in rule.bounds.items():
        if channel not in traces.channels:
            raise DataError(
                f"The rule for {rule.label!r} needs the channel {channel!r}; there are "
                f"{', '.join(traces.channels)}."
            )
        values = traces.values[:, traces.channels.index(channel)]
        holds &= np.isfinite(values)
        if low is not None:
            holds &= values >= low
        if high is not None:
            holds &= values < high
    found = bouts(np.where(holds, 0, -1))
    for short in np.flatnonzero(found.lengths < rule.shortest):
        holds[found.starts[short] : found.stops[short]] = False
    return holds


def normalise(traces: Series, quantile: float = 0.99) -> Series:
    """Divide each channel by a quantile of its size, so that one threshold fits many animals.

    Channels that are 0 throughout stay 0.
    """
    values = traces.values.astype(np.float64)
    scale = np.nanquantile(np.abs(values), quantile, axis=0)
    return Series(
        traces.times,
        values / np.where(scale > 0, scale, 1.0),
        traces.channels,
        valid=traces.valid,
    )
