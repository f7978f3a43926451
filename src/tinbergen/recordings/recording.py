"""A recording: streams of one session on one clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from tinbergen.errors import DataError
from tinbergen.recordings.frames import FrameSource


@dataclass(frozen=True, eq=False)
class Recording:
    """One session of one subject (or of several animals in view) on one clock in seconds.

    Attributes
    ----------
    name
        Unique within its dataset.
    streams
        Name -> stream, each with its own times.
    subject
        The animal, or None.
    """

    name: str
    streams: Mapping[str, Any] = field(default_factory=dict)
    subject: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "streams", MappingProxyType(dict(self.streams)))

    def __getitem__(self, stream: str) -> Any:
        if stream not in self.streams:
            raise DataError(
                f"Recording {self.name!r} has no stream {stream!r}; it has: "
                f"{', '.join(self.streams) or 'none'}."
            )
        return self.streams[stream]

    @property
    def videos(self) -> dict[str, FrameSource]:
        """The streams that hold frames, by name."""
        return {k: v for k, v in self.streams.items() if isinstance(v, FrameSource)}
