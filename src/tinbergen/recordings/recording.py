"""A recording: streams of one session on one clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal, Protocol, Self

import numpy as np

from tinbergen.errors import DataError
from tinbergen.recordings.frames import FrameSource
from tinbergen.recordings.image_series import ImageSeries
from tinbergen.recordings.intervals import Bins, Intervals
from tinbergen.recordings.keypoints import Keypoints
from tinbergen.recordings.labels import Labels
from tinbergen.recordings.pynapple import from_pynapple
from tinbergen.recordings.series import Series
from tinbergen.recordings.spikes import Spikes
from tinbergen.recordings.trials import Trials


class Stream(Protocol):
    """What a recording holds under a name: something that happened at times."""

    def between(self, start: float, stop: float) -> Any:
        """Return the part inside ``[start, stop)`` s."""
        ...

    def bin(self, bins: Bins) -> np.ndarray:
        """Return a row for each bin."""
        ...


_STREAMS = (FrameSource, ImageSeries, Keypoints, Series, Labels, Spikes, Trials)


@dataclass(frozen=True, eq=False)
class Recording:
    """One session of one subject (or of several animals in view) on one clock in seconds.

    Each stream has times of its own; nothing assumes equal rates. All intervals are half-open.

    Attributes
    ----------
    name
        Unique within its dataset.
    streams
        Name -> Video (or another :class:`FrameSource`), ImageSeries, Keypoints, Series, Labels,
        Spikes, Trials, or an object of pynapple, which is turned into one of these.
    subject
        The animal, or None.
    notes
        What a reader left out, corrected or did not find, in words and numbers.

    Examples
    --------
    >>> wheel = Series([0.0, 0.5, 1.0, 1.5], [1.0, 3.0, 5.0, 7.0], ("speed",), "cm/s")
    >>> session = Recording("mouse1", {"wheel": wheel})
    >>> session.between(0.5, 1.5)["wheel"].values.ravel()
    array([3., 5.])
    >>> session.bin(1.0)["wheel"].ravel()
    array([2., 6.])
    """

    name: str
    streams: Mapping[str, Any] = field(default_factory=dict)
    subject: str | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        streams = {name: from_pynapple(value) for name, value in self.streams.items()}
        for stream, value in streams.items():
            if not isinstance(value, _STREAMS):
                kinds = ", ".join(kind.__name__ for kind in _STREAMS)
                raise DataError(
                    f"Recording {self.name!r}, stream {stream!r}: expected one of {kinds}; found "
                    f"a {type(value).__name__}."
                )
        object.__setattr__(self, "streams", MappingProxyType(streams))
        object.__setattr__(self, "notes", tuple(self.notes))

    def __reduce__(self) -> tuple:
        return type(self), (self.name, dict(self.streams), self.subject, self.notes)

    def __getitem__(self, stream: str) -> Any:
        if stream not in self.streams:
            about = [note for note in self.notes if stream in note or "left out" in note]
            raise DataError(
                f"Recording {self.name!r} has no stream {stream!r}; it has: "
                f"{', '.join(self.streams) or 'none'}."
                + "".join(f"\n  note: {note}" for note in about[:5])
            )
        return self.streams[stream]

    def __contains__(self, stream: str) -> bool:
        return stream in self.streams

    @property
    def videos(self) -> dict[str, FrameSource]:
        """The streams that hold frames, by name; a rig with several cameras has several."""
        return {k: v for k, v in self.streams.items() if isinstance(v, FrameSource)}

    @property
    def valid(self) -> Intervals:
        """Where every stream that was sampled over time was being recorded.

        That is: frames, keypoints, series and spikes. Labels and trials say by themselves what
        they cover, and do not narrow it.
        """
        sampled = [v.valid for v in self.streams.values() if not isinstance(v, Labels | Trials)]
        if not sampled:
            raise DataError(f"Recording {self.name!r} has no stream that is sampled over time.")
        result = sampled[0]
        for each in sampled[1:]:
            result = result & each
        return result

    def only(self, *streams: str) -> Self:
        """Return the recording with these streams alone."""
        return replace(self, streams={name: self[name] for name in streams})

    def between(self, start: float, stop: float) -> Self:
        """Return all streams inside ``[start, stop)`` s; times stay on the recording's clock."""
        cut = {name: stream.between(start, stop) for name, stream in self.streams.items()}
        return replace(self, streams=cut)

    def windows(
        self,
        length: float,
        step: float | None = None,
        tail: Literal["short", "drop", "overlap"] = "short",
    ) -> Iterator[Self]:
        """Yield the recording cut into windows inside :attr:`valid`; none crosses a gap.

        See :meth:`Intervals.windows <tinbergen.recordings.intervals.Intervals.windows>`: by
        default what is left at an end comes as a shorter window.
        """
        for start, stop in self._shared().windows(length, step, tail):
            yield self.between(start, stop)

    def bin(self, width: float) -> Binned:
        """Bring all streams onto common bins of ``width`` s inside :attr:`valid`.

        Raises
        ------
        DataError
            If the streams share no time.
        """
        bins = Bins.inside(self._shared(), width)
        return Binned(bins, {name: stream.bin(bins) for name, stream in self.streams.items()})

    def _shared(self) -> Intervals:
        """Return :attr:`valid`, which has to hold something."""
        valid = self.valid
        if len(valid):
            return valid
        spans = [
            f"{name} {v.valid.starts[0]:g} to {v.valid.stops[-1]:g} s"
            if len(v.valid)
            else f"{name} nothing"
            for name, v in self.streams.items()
            if not isinstance(v, Labels | Trials)
        ]
        raise DataError(
            f"Recording {self.name!r}: its streams share no time: {', '.join(spans)}. If they run "
            "on different clocks, align these first (align_clocks); else choose some with only()."
        )


@dataclass(frozen=True, eq=False)
class Binned:
    """All streams of a recording on common bins.

    Attributes
    ----------
    bins
        The bins; the last of each valid interval may be shorter (``bins.coverage``).
    values
        Stream -> array with a row a bin: means of series ``(bin, channel)`` and keypoints ``(bin,
        individual, keypoint, space)``, spike counts ``(bin, unit)``, shares of labels ``(bin,
        class)``, row of the trial, index of the frame at the middle of the bin (-1 = none).
    """

    bins: Bins
    values: Mapping[str, np.ndarray]

    def __getitem__(self, stream: str) -> np.ndarray:
        return self.values[stream]
