"""What a feature or a target is taken from: streams of a recording, folders of embeddings.

A *selector* names it in one word: ``stream``, ``stream/channel`` or ``stream:view``.

=================  ==========================  ==================================================
stream             channel                     views (the first is the default)
=================  ==========================  ==================================================
Series             channel                     ``values``, ``circular`` (angles in rad, or in deg
                                               if that is the unit: cosine and sine), ``tuned``
                                               (bumps over its range, of two channels over their
                                               plane: features for tuning curves, place fields)
Series of counts   unit, or ``column=value``   ``values`` (added up in each bin)
Spikes             region, or ``column=value`` ``counts``
Keypoints          keypoint                    ``all`` (positions and velocities),
                                               ``positions``, ``velocities``, ``speed``
Video              --                          ``pca`` (frames), ``motion`` (energy)
Labels             class                       ``shares``
column of Trials   --                          ``steps`` (the value while the trial lasts; up to
                                               20 that recur are classes, 0 and 1 each),
                                               ``numbers`` (never classes), ``events`` (1 in the
                                               bin of the column's time)
folder             --                          kind of token: ``cls``, ``mean``, ``grid``,
                                               ``texture``, ``patch``, or several as
                                               ``cls+texture``; of several, or more than 1024
                                               columns, principal components, fitted on training
                                               rows alone
=================  ==========================  ==================================================
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tinbergen.encoding.columns import Columns, Source
from tinbergen.encoding.components import COMPONENTS, WideRows
from tinbergen.encoding.grid import Grid, mean_on
from tinbergen.encoding.streams import (
    keypoints_source,
    labels_source,
    series_source,
    spikes_source,
    trials_source,
    video_source,
)
from tinbergen.errors import ConfigError, DataError, MissingFileError
from tinbergen.files import safe_name
from tinbergen.recordings import Keypoints, Labels, Recording, Series, Spikes, Trials
from tinbergen.recordings.frames import FrameSource

_WIDEST = 1024  # columns of tokens that are taken as they are; ViT-L's CLS is one of these
_VIEWS: dict[type, tuple[str, ...]] = {
    Series: ("values", "circular", "tuned"),
    Spikes: ("counts",),
    Keypoints: ("all", "positions", "velocities", "speed"),
    FrameSource: ("pca", "motion"),
    Labels: ("shares",),
    Trials: ("steps", "numbers", "events"),
}


def find_source(
    recording: Recording,
    wanted: Any,
    *,
    as_target: bool = False,
    ranges: np.ndarray | None = None,
) -> Source:
    """Find what ``wanted`` names in a recording.

    Parameters
    ----------
    recording
        The recording.
    wanted
        A selector; a Series; a mapping recording name -> Series (or what has a ``series()``); a
        folder of embeddings.
    as_target
        Whether it is to be decoded: labels and trial columns then come as classes.
    ranges
        ``(channel, 2)`` over which bumps are laid; by default those of the recording.

    Raises
    ------
    DataError, ConfigError
        If there is no such stream, channel or view; the text lists what there is.
    """
    if isinstance(wanted, Series):
        return series_source("features", wanted, "")
    if isinstance(wanted, Mapping):
        if recording.name not in wanted:
            raise DataError(
                f"Recording {recording.name!r} has no features; there are some of "
                f"{', '.join(map(str, list(wanted)[:5]))}."
            )
        series = wanted[recording.name]
        return series_source("features", getattr(series, "series", lambda: series)(), "")
    text = os.fspath(wanted)
    folder, _, kind = text.rpartition(":")
    for path, token in ((text, ""), (folder, kind)):
        if path and path not in recording and Path(path).is_dir():
            return _embedding_source(recording, Path(path), token, text)
    stream, channel, view = _parse(recording, text)
    value = recording[stream] if stream in recording else _trials_with(recording, channel)
    return _stream_source(recording, text, stream, value, channel, view, as_target, ranges)


def _parse(recording: Recording, text: str) -> tuple[str, str, str]:
    """Split a selector into stream (or trial column), channel and view."""
    rest, view = text, ""
    if text not in recording and ":" in text:
        rest, _, view = text.rpartition(":")
    for cut in range(rest.count("/") + 1):
        parts = rest.rsplit("/", cut)
        stream, channel = parts[0], "/".join(parts[1:])
        if stream in recording and not isinstance(recording[stream], Trials):
            return stream, channel, view
        if stream in recording and channel:
            return stream, channel, view
    if any(isinstance(s, Trials) and rest in s.table for s in recording.streams.values()):
        return "", rest, view
    columns = [c for s in recording.streams.values() if isinstance(s, Trials) for c in s.columns]
    more = f"; columns of its trials: {', '.join(columns)}" if columns else ""
    raise DataError(
        f"Recording {recording.name!r} has no stream {rest!r}. It has: "
        f"{', '.join(recording.streams) or 'none'}{more}."
    )


def _trials_with(recording: Recording, column: str) -> Trials:
    streams = recording.streams.values()
    return next(s for s in streams if isinstance(s, Trials) and column in s.table)


def _stream_source(
    recording: Recording,
    text: str,
    stream: str,
    value: Any,
    channel: str,
    view: str,
    target: bool,
    ranges: np.ndarray | None,
) -> Source:
    kind = next(kind for kind in _VIEWS if isinstance(value, kind))
    views = _VIEWS[kind]
    view = view or views[0]
    if view not in views:
        raise ConfigError(f"{text!r}: {stream or channel!r} has the views {', '.join(views)}.")
    where = f"{text!r} of recording {recording.name!r}"
    if isinstance(value, Series):
        if view == "tuned" and target:
            raise ConfigError(f"{text!r}: bumps are features; as a target take the values.")
        return series_source(text, value, channel, view, where, ranges)
    if isinstance(value, Spikes):
        return spikes_source(text, value, channel, where)
    if isinstance(value, Keypoints):
        return keypoints_source(text, value, channel, view, where)
    if isinstance(value, FrameSource):
        return video_source(text, value, view)
    if isinstance(value, Labels):
        return labels_source(text, value, channel, target, where)
    return trials_source(text, value, channel, view, target, where)


def _embedding_source(recording: Recording, folder: Path, kind: str, text: str) -> Source:
    """Read what ``tinbergen embed`` wrote: npy files beside an index with the frames' times."""
    own = folder.joinpath(*(safe_name(part) for part in recording.name.split("/")))
    found = [path for path in (own, folder) if (path / "index.parquet").is_file()]
    found = found or sorted(path.parent for path in own.glob("*/index.parquet"))
    if not found:
        raise MissingFileError(
            f"Expected an embedding of recording {recording.name!r} at {own}, found none. "
            "'tinbergen embed' writes it; the dataset must be the one that was embedded."
        )
    kinds = (kind or "cls").split("+")
    parts = [(f"{path.name} {each}", _tokens(path, each)) for path in found for each in kinds]
    if len(found) == 1:
        parts = [(each, part) for each, (_, part) in zip(kinds, parts, strict=True)]
    valid = parts[0][1].valid
    for _, part in parts[1:]:
        valid = valid & part.valid
    on = functools.partial(_tokens_on, parts, len(kinds) > 1)
    step = float(np.median(np.diff(parts[0][1].times)))
    return Source(text, "continuous", valid, on, step=step)


def _tokens(path: Path, kind: str) -> WideRows:
    """Open the tokens of one kind, as rows."""
    if not (path / f"{kind}.npy").is_file():
        there = ", ".join(sorted(p.stem for p in path.glob("*.npy")))
        raise MissingFileError(f"{path} holds no {kind!r} tokens; it has: {there}.")
    times = pd.read_parquet(path / "index.parquet")["time"].to_numpy(np.float64)
    values = np.load(path / f"{kind}.npy", mmap_mode="r")
    rows = values.reshape(len(values), -1)
    return WideRows(times, rows, np.isfinite(rows[:, 0]))


def _tokens_on(parts: list[tuple[str, WideRows]], joined: bool, grid: Grid) -> Columns:
    """Bring tokens of one or several kinds and cameras onto a grid.

    As they are; of many columns, and where kinds are ``joined``, the components of each part.
    Parts weigh the same: those of one have a total variance of 1 on the training rows.
    """
    wide = joined or any(rows.rows[0].size > _WIDEST for _, rows in parts)
    names = tuple(
        f"{'pc of ' if wide else ''}{name}{i}"
        for name, rows in parts
        for i in range(min(COMPONENTS, rows.rows.shape[1]) if wide else rows.rows.shape[1])
    )
    if not wide:
        values = [mean_on(grid, part.times, part.rows, part.valid) for _, part in parts]
        return Columns(np.concatenate(values, axis=1), names, alike=True)
    known, projects = zip(*(part.on(grid) for _, part in parts), strict=True)

    def project(train: np.ndarray) -> np.ndarray:
        found = [each(train) for each in projects]
        if len(found) > 1:
            weights = [np.sqrt(np.nanvar(each[train], axis=0).sum()) for each in found]
            found = [each / (w or 1.0) for each, w in zip(found, weights, strict=True)]
        return np.concatenate(found, axis=1)

    return Columns(np.concatenate(known, axis=1), names, project=project, alike=True)
