"""Clocks of two devices: what maps the seconds of one to the seconds of the other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import singledispatchmethod
from typing import Any, Self

import numpy as np
import pandas as pd

from tinbergen.errors import DataError
from tinbergen.recordings.frames import FrameSource
from tinbergen.recordings.intervals import Intervals
from tinbergen.recordings.keypoints import Keypoints
from tinbergen.recordings.labels import Labels
from tinbergen.recordings.recording import Recording
from tinbergen.recordings.series import Series, frozen_copy
from tinbergen.recordings.spikes import Spikes
from tinbergen.recordings.trials import Trials


@dataclass(frozen=True, eq=False)
class Clock:
    """A map from seconds of one clock to seconds of another: straight lines between knots.

    Before the first knot and after the last, the nearest line goes on.

    Attributes
    ----------
    source, target
        ``(knot,)`` float64, s: the same moments on both clocks, two knots for an affine map.
    residual_ms, worst_ms
        Root mean square, and largest, distance of the sync pulses from the map, ms; 0 if it was
        not fitted.
    n_matched, n_source, n_target
        Pulses that were matched, and pulses of either clock.
    gaps
        On the source clock, s: where more than 5 usual steps pass without a matched pulse, so
        that the map is only as good as the clocks are steady.

    Examples
    --------
    >>> camera = Clock.affine(offset=3600.0, drift_ppm=50.0)
    >>> camera.times([0.0, 1000.0])
    array([3600.  , 4600.05])
    >>> camera.inverse().times([3600.0])
    array([0.])
    """

    source: np.ndarray
    target: np.ndarray
    residual_ms: float = 0.0
    worst_ms: float = 0.0
    n_matched: int = 0
    n_source: int = 0
    n_target: int = 0
    gaps: Intervals = field(default_factory=Intervals)

    def __post_init__(self) -> None:
        source, target = frozen_copy(self.source, np.float64), frozen_copy(self.target, np.float64)
        if source.shape != target.shape or source.ndim != 1 or len(source) < 2:
            raise DataError(
                f"A clock needs two or more moments on both clocks, found shapes {source.shape} "
                f"and {target.shape}."
            )
        if not (np.all(np.diff(source) > 0) and np.all(np.diff(target) > 0)):
            raise DataError(
                "A clock must run forwards: its moments have to ascend on both clocks, without "
                "NaN."
            )
        object.__setattr__(self, "source", source)
        object.__setattr__(self, "target", target)

    @classmethod
    def affine(cls, offset: float, drift_ppm: float = 0.0) -> Self:
        """Map ``t`` to ``offset + (1 + drift_ppm / 1e6) t``, s."""
        source = np.array([0.0, 1e6])
        return cls(source, offset + source * (1 + drift_ppm * 1e-6))

    @property
    def drifts_ppm(self) -> np.ndarray:
        """``(knot - 1,)``: by how much the target runs faster in each piece, in 1e-6."""
        return (np.diff(self.target) / np.diff(self.source) - 1) * 1e6

    @property
    def drift_ppm(self) -> float:
        """By how much the target runs faster over all, in 1e-6."""
        length = self.source[-1] - self.source[0]
        return float(((self.target[-1] - self.target[0]) / length - 1) * 1e6)

    @property
    def offset(self) -> float:
        """Target minus source at the first knot, s."""
        return float(self.target[0] - self.source[0])

    def __str__(self) -> str:
        text = f"offset {self.offset:.6f} s, drift {self.drift_ppm:+.2f} ppm"
        if len(self.source) > 2:
            pieces = self.drifts_ppm
            text += f" ({pieces.min():+.2f} to {pieces.max():+.2f} in {len(pieces)} pieces)"
        if self.n_matched:
            text += (
                f"; {self.n_matched} of {self.n_source} and {self.n_target} pulses matched, "
                f"residual {self.residual_ms:.3f} ms (largest {self.worst_ms:.3f}); "
                f"{len(self.gaps)} gaps, {self.gaps.duration:.1f} s"
            )
        return text

    def times(self, times: Any) -> np.ndarray:
        """Return the times (s) on the target clock; NaN stays NaN."""
        times = np.asarray(times, dtype=np.float64)
        at = np.searchsorted(self.source, times, side="right") - 1
        at = np.clip(at, 0, len(self.source) - 2)
        rate = np.diff(self.target) / np.diff(self.source)
        return self.target[at] + rate[at] * (times - self.source[at])

    def inverse(self) -> Self:
        """Return the map back."""
        return replace(
            self,
            source=self.target,
            target=self.source,
            n_source=self.n_target,
            n_target=self.n_source,
            gaps=self.intervals(self.gaps),
        )

    def intervals(self, intervals: Intervals) -> Intervals:
        """Return the intervals on the target clock."""
        return Intervals(self.times(intervals.starts), self.times(intervals.stops))

    @singledispatchmethod
    def apply(self, stream: Any) -> Any:
        """Return a stream, or a recording with all of its streams, on the target clock.

        The one that was given stays as it is. Of trials, columns that hold times in each trial
        move along with ``start`` and ``stop``; use :meth:`trials` to name them.

        Raises
        ------
        DataError
            If it cannot be told whether a column of trials holds times.
        """
        raise DataError(
            f"Expected a stream or a recording, found a {type(stream).__name__}; use times() for "
            "plain times."
        )

    @apply.register
    def _(self, stream: Spikes | Series | Keypoints) -> Any:
        return replace(stream, times=self.times(stream.times), valid=self.intervals(stream.valid))

    @apply.register
    def _(self, stream: Labels) -> Labels:
        table = stream.table.assign(
            start=self.times(stream.table["start"]), stop=self.times(stream.table["stop"])
        )
        return replace(stream, table=table, observed=self.intervals(stream.observed))

    @apply.register
    def _(self, stream: FrameSource) -> FrameSource:
        return stream.retimed(self.times)

    @apply.register
    def _(self, stream: Trials) -> Trials:
        return self.trials(stream)

    @apply.register
    def _(self, recording: Recording) -> Recording:
        return self.recording(recording, recording.streams)

    def trials(self, trials: Trials, events: Iterable[str] | None = None) -> Trials:
        """Return trials on the target clock.

        Parameters
        ----------
        events
            Columns that hold times, besides ``start`` and ``stop``. Default: numbers that lie
            between start and stop of their own trial, wherever they are known.

        Raises
        ------
        DataError
            If ``events`` is not given and a column lies within its trial in most trials only.
        """
        names = _event_columns(trials) if events is None else list(events)
        moved = {name: self.times(trials.column(name)) for name in ("start", "stop", *names)}
        return Trials(trials.table.assign(**moved))

    def recording(self, recording: Recording, streams: Iterable[str]) -> Recording:
        """Return a recording with the ``streams`` that run on this clock on the target clock."""
        moved = {name: self.apply(recording[name]) for name in streams}
        return replace(recording, streams={**recording.streams, **moved})


def _event_columns(trials: Trials) -> list[str]:
    """Find the columns whose values lie within their own trial."""
    events = []
    for name in trials.columns:
        column = trials.table[name]
        if not pd.api.types.is_float_dtype(column):
            continue
        values = column.to_numpy(np.float64)
        known = np.isfinite(values)
        inside = (values >= trials.start) & (values <= trials.stop)
        n_inside, n_known = int(inside[known].sum()), int(known.sum())
        if n_known and n_inside == n_known:
            events.append(name)
        elif n_inside > n_known / 2:
            raise DataError(
                f"Does the column {name!r} of the trials hold times? {n_inside} of {n_known} "
                "values lie within their trial. Name the columns with times: "
                f"clock.trials(trials, events=[{name!r}, ...])."
            )
    return events
