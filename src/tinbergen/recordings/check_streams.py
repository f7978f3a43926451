"""What streams other than video hold, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from tinbergen.recordings.image_series import ImageSeries
from tinbergen.recordings.intervals import Intervals
from tinbergen.recordings.keypoints import Keypoints
from tinbergen.recordings.labels import Labels
from tinbergen.recordings.recording import Recording
from tinbergen.recordings.series import Series
from tinbergen.recordings.spikes import Spikes
from tinbergen.recordings.trials import Trials

NOTE = "note: "
"""What a problem begins with that costs nothing."""

_SHOWN = 6  # names in a message
_REPEATED = 0.001  # share of spikes that may have the time of the spike before, of one unit
_COUNTS = ("spikes/bin", "counts/bin", "counts")


@dataclass
class StreamReport:
    """What :func:`describe` found in a stream.

    Attributes
    ----------
    found
        Its size in words.
    duration, fps
        s and Hz; None where there is none.
    problems
        What is wrong; those that begin with :data:`NOTE` cost nothing.
    hints
        What to do.
    empty
        Whether nothing in it can be used.
    """

    found: str = ""
    duration: float | None = None
    fps: float | None = None
    problems: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    empty: bool = False

    def add(self, problem: str, hint: str = "") -> None:
        """Say what is wrong, and once what to do."""
        self.problems.append(problem)
        if hint and hint not in self.hints:
            self.hints.append(hint)


def describe(value: Any) -> StreamReport:
    """Say what a stream holds, and what is wrong with it by itself."""
    if isinstance(value, Spikes):
        return _spikes(value)
    if isinstance(value, Series):
        return _series(value)
    if isinstance(value, ImageSeries):
        height, width = value.values.shape[1:]
        seconds = value.valid.duration
        return StreamReport(
            f"{len(value)} images of {width} x {height} px, {seconds:.1f} s", seconds
        )
    if isinstance(value, Labels):
        return describe_labels(value)
    return _trials(value) if isinstance(value, Trials) else StreamReport()


def describe_labels(labels: Labels) -> StreamReport:
    """Say what labels hold: bouts, classes that never occur, labels that hold at once."""
    table, looked = labels.table, labels.observed.duration
    labelled = Intervals(table["start"], table["stop"])
    whose = [name for name in labels.individuals if name]
    report = StreamReport(
        f"{len(table)} bouts of {len(labels.classes)} classes"
        + f" by {_names(whose)}" * bool(whose)
        + f", {labelled.duration:.1f} s labelled, {looked:.1f} s observed",
        looked,
    )
    if not looked:
        report.empty = True
        report.add("nothing is labelled", "see that the file belongs to this recording.")
        return report
    lacking = [name for name in labels.classes if name not in set(table["label"])]
    if lacking:
        report.add(f"{NOTE}classes that never occur: {_names(lacking)}")
    for individual in labels.individuals:
        own = table.loc[table["individual"] == individual]
        each = sum(labels.intervals(name, individual).duration for name in set(own["label"]))
        twice = each - Intervals(own["start"], own["stop"]).duration
        if twice > 1e-6:
            of = f" of {individual}" if individual else ""
            report.add(f"{NOTE}several labels{of} hold at once, {twice:.1f} s in all")
    return report


def _spikes(spikes: Spikes) -> StreamReport:
    counts = np.bincount(spikes.units, minlength=spikes.n_units)
    duration = spikes.valid.duration
    rate = f", median {np.median(counts) / duration:.3g} Hz" if duration and len(counts) else ""
    report = StreamReport(
        f"{spikes.n_units} units, {len(spikes)} spikes, {duration:.1f} s{rate}", duration
    )
    if not len(spikes):
        report.empty = True
        report.add("holds no spike", "see that times and units name the right arrays.")
        return report
    if len(silent := np.flatnonzero(counts == 0)):
        report.add(
            f"{NOTE}{len(silent)} of {spikes.n_units} units are silent: "
            f"{_names(spikes.table.index[silent])}",
            "leave silent units out, or see that the ids fit the table.",
        )
    # A recording may end with its last spike.
    outside = ~spikes.valid.contains(spikes.times) & ~np.isin(spikes.times, spikes.valid.stops)
    # Probes joined are valid while all recorded: a few spikes before and after are no damage.
    several = "probe" in spikes.table and len(set(spikes.table["probe"])) > 1
    if outside.any():
        when = "while not all probes recorded" if several else "outside the time recorded"
        report.add(
            f"{NOTE if several else ''}{int(outside.sum())} spikes lie {when}, the first at "
            f"{spikes.times[outside][0]:.3f} s",
            "" if several else "correct valid, or the clock.",
        )
    order = np.lexsort((spikes.times, spikes.units))
    same = (np.diff(spikes.times[order]) == 0) & (np.diff(spikes.units[order]) == 0)
    if same.sum() > _REPEATED * len(spikes):
        report.add(
            f"{int(same.sum())} spikes have the time of the spike before, of the same unit",
            "see that times are not rounded to bins, and that no spike stands twice.",
        )
    _clock(report, spikes.times[0], spikes.valid)
    return report


def _series(series: Series) -> StreamReport:
    values = series.values
    n, n_channels = values.shape
    counts = series.unit in _COUNTS
    step = float(np.median(np.diff(series.times))) if n > 1 else 0.0
    report = StreamReport(
        f"{n_channels} {'units' if counts else 'channels'}, {n} samples, "
        f"{series.valid.duration:.1f} s{f', {series.unit}' if series.unit else ''}",
        series.valid.duration,
        round(1 / step, 4) if step else None,
    )
    known = np.isfinite(values)
    if not known.any():
        report.empty = True
        report.add("holds no known value" if n else "holds no sample")
        return report
    lost = np.flatnonzero(~known.any(axis=0))
    if len(lost):
        report.add(
            f"{len(lost)} of {n_channels} channels are NaN throughout: "
            f"{_names(np.array(series.channels)[lost])}",
            "leave these channels out.",
        )
    if (share := 1 - known.mean()) > 0:
        report.add(f"{NOTE}{share:.2%} of the values are NaN")
    low, high = np.fmin.reduce(values, axis=0), np.fmax.reduce(values, axis=0)
    constant = np.flatnonzero(low == high)
    if len(constant) and n > 1:
        what = "units are silent" if counts and not high[constant].any() else "channels never vary"
        report.add(
            f"{NOTE}{len(constant)} of {n_channels} {what}: "
            f"{_names(np.array(series.channels)[constant])}"
        )
    least, most = np.fmin.reduce(low), np.fmax.reduce(high)
    whole = values.dtype.kind in "bui" or not (values[known] % 1).any()
    if counts and (least < 0 or not whole):
        report.add(
            f"counts must be whole numbers >= 0; found {least:g} to {most:g}",
            "give the unit that the values have, if they are no counts.",
        )
    if gaps := len(series.valid) - 1:
        report.add(f"{NOTE}{gaps} gaps; windows stop there")
    if repeated := int((np.diff(series.times) == 0).sum()):
        report.add(f"{NOTE}{repeated} samples have the time of the sample before")
    _clock(report, series.times[0], series.valid)
    return report


def _trials(trials: Trials) -> StreamReport:
    length = trials.stop - trials.start
    columns = f", {', '.join(map(str, trials.columns[:_SHOWN]))}" if trials.columns else ""
    columns += " ..." if len(trials.columns) > _SHOWN else ""
    middle = f", median {np.median(length):.3g} s" if len(trials) else ""
    report = StreamReport(f"{len(trials)} trials{middle}{columns}", float(length.sum()))
    if not len(trials):
        report.empty = True
        report.add("holds no trial")
        return report
    over = trials.stop[:-1] - trials.start[1:]
    if (over > 1e-6).any():
        report.add(
            f"{NOTE}{int((over > 1e-6).sum())} trials begin before the one before ends, by up to "
            f"{over.max():.3f} s"
        )
    if empty := int((length == 0).sum()):
        report.add(f"{NOTE}{empty} trials have no duration")
    for name in trials.columns:
        if lost := int(np.count_nonzero(pd.isna(trials.table[name]))):
            report.add(f"{NOTE}{name} is not known in {lost} of {len(trials)} trials")
    return report


def _clock(report: StreamReport, first: float, valid: Intervals) -> None:
    if first < -0.0005:  # else it would read -0.000 s
        report.add(f"{NOTE}begins before 0 s, at {first:.3f} s")
    if len(valid) and valid.starts[0] > 1e8:
        report.add(f"{NOTE}its clock is that of a calendar (starts at {valid.starts[0]:.0f} s)")


def compare(recording: Recording, stream: str, value: Any) -> Iterator[str]:
    """Say what does not fit between a stream and others of its recording, video apart."""
    if isinstance(value, Labels) and not recording.videos:
        yield from _labels_against_keypoints(value, recording)
    name, neural = _neural(recording)
    if neural is None or stream == name or not len(neural.valid):
        return
    if isinstance(value, Trials) and len(value):
        yield from _trials_against(value, name, neural.valid)
    elif isinstance(value, Series | Spikes | Keypoints | Labels):
        covered = value.observed if isinstance(value, Labels) else value.valid
        shared = (covered & neural.valid).duration
        if len(covered) and not shared:
            yield f"has no time in common with {name}: {_span(covered, neural.valid)}"
        elif len(covered) and shared < 0.95 * neural.valid.duration:
            yield f"{NOTE}covers {shared:.1f} of {neural.valid.duration:.1f} s of {name}"


def _labels_against_keypoints(labels: Labels, recording: Recording) -> Iterator[str]:
    for name, pose in recording.streams.items():
        if isinstance(pose, Keypoints) and len(pose.valid):
            tracked = Intervals(pose.valid.starts[:1], pose.valid.stops[-1:])
            if (outside := (labels.observed - tracked).duration) > 1.0:
                yield (
                    f"{outside:.1f} of {labels.observed.duration:.1f} s with labels lie outside "
                    f"{name}, {tracked.starts[0]:.1f} to {tracked.stops[0]:.1f} s"
                )


def _trials_against(trials: Trials, name: str, valid: Intervals) -> Iterator[str]:
    shared = _before(trials.stop, valid) - _before(trials.start, valid)
    length = trials.stop - trials.start
    outside = np.where(length > 0, shared <= 0, ~valid.contains(trials.start))
    cut = ~outside & (shared < length - 1e-6)
    if outside.all():
        span = Intervals([trials.start.min()], [trials.stop.max()])
        yield f"has no time in common with {name}: {_span(span, valid)}"
    elif outside.any():
        first = int(np.flatnonzero(outside)[0])
        yield (
            f"{int(outside.sum())} of {len(trials)} trials lie outside {name}, the first is row "
            f"{first + 1} at {trials.start[first]:.3f} s"
        )
    if cut.any():
        yield f"{NOTE}{int(cut.sum())} of {len(trials)} trials are covered by {name} in part only"


def _before(times: np.ndarray, valid: Intervals) -> np.ndarray:
    """Return how much of ``valid`` lies before each time, s."""
    length = np.concatenate([[0.0], np.cumsum(valid.stops - valid.starts)])
    at = np.searchsorted(valid.starts, times, side="right")
    over = np.where(at > 0, times - valid.stops[np.maximum(at - 1, 0)], 0.0)
    return length[at] + np.minimum(over, 0.0)


def _neural(recording: Recording) -> tuple[str, Any]:
    streams = recording.streams.items()
    spikes = [(name, value) for name, value in streams if isinstance(value, Spikes)]
    counts = [
        (name, value)
        for name, value in streams
        if isinstance(value, Series) and (value.unit in _COUNTS or value.table is not None)
    ]
    return next(iter([*spikes, *counts]), ("", None))


def _span(one: Intervals, other: Intervals) -> str:
    return (
        f"{one.starts[0]:.3f} to {one.stops[-1]:.3f} s against {other.starts[0]:.3f} to "
        f"{other.stops[-1]:.3f} s"
    )


def _names(names: Any) -> str:
    shown = ", ".join(map(str, names[:_SHOWN]))
    return f"{shown}, ..." if len(names) > _SHOWN else shown
