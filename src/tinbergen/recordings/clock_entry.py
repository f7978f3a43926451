"""The key ``clock`` of an entry of ``dataset.yaml``: sync pulses that put a stream in time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tinbergen.configuration import Config, resolve
from tinbergen.errors import ConfigError
from tinbergen.recordings.array_files import read_array
from tinbergen.recordings.clocks import Clock
from tinbergen.recordings.pulses import align_clocks


class ClockEntry(Config):
    """Files (or ``file.npz:key``) with the same sync pulses on two clocks, s."""

    pulses: str  # on the clock of the stream
    recording: str  # on the clock of the recording
    tolerance: float = 0.005  # s


def clock_of(value: Any, where: str) -> ClockEntry | None:
    """Validate what stands under ``clock``; errors say ``where``."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"{where}: clock: expected {{pulses: FILE, recording: FILE}}, found {value!r}."
        )
    try:
        return resolve(ClockEntry, value)
    except ConfigError as error:
        raise ConfigError(f"{where}, clock: {error}") from None


def on_clock(entry: ClockEntry, stream: Any, folder: Path) -> tuple[Any, str]:
    """Return the stream (or the streams of a session) on the recording's clock.

    Returns
    -------
    stream, and the offset, drift and residual in words.

    Raises
    ------
    DataError
        If the pulses do not match, or the stream cannot be moved.
    """
    clock: Clock = align_clocks(
        _pulses(folder, entry.pulses),
        _pulses(folder, entry.recording),
        tolerance=entry.tolerance,
    )
    return clock.apply(stream), f"clock: {clock}"


def _pulses(folder: Path, file: str) -> np.ndarray:
    path, _, key = file.partition(".npz:")
    whole = folder / (f"{path}.npz" if key else file)
    return np.ravel(read_array(whole, key or None))
