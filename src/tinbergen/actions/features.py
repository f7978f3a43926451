"""Features of each frame, from the streams of a recording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from tinbergen.actions.feature_sets import SETS, Animals, FeatureSet, index_of
from tinbergen.actions.kinematics import interpolated, velocity, window_statistics
from tinbergen.configuration import Config
from tinbergen.errors import ConfigError, DataError
from tinbergen.recordings import Keypoints, Recording, Series

_ONE: tuple[FeatureSet, ...] = ("ego", "distances", "speed", "heading", "missing")
_TWO: tuple[FeatureSet, ...] = ("social", "social_motion")
_SAME = 0.25  # of a frame: times of two streams that differ by less are the same frames


class FeatureConfig(Config):
    """Which features, from which streams.

    Attributes are the settings; a keypoint is called by its name.
    """

    keypoints: str | None = None
    """Stream; default: the only one that holds keypoints, if there is one."""
    series: tuple[str, ...] = ()
    """Streams whose channels are features too: embeddings, a wheel, motion energy."""
    sets: tuple[FeatureSet, ...] | None = None
    """``positions``; ``ego``: positions as seen from the animal; ``distances`` of all pairs of
    its keypoints; ``angles`` along ``chain``; ``speed`` of each keypoint; ``heading``: steps ahead
    and aside, turning; ``energy``: absolute change of the positions; ``missing``: share of the
    keypoints that were not seen; ``social`` and ``social_motion``: of two animals, whichever is
    which. Default: for two animals the last two, else ego, distances, speed, heading, missing.
    Empty: only the ``series``."""
    individuals: tuple[str, ...] | None = None
    """Which animals; default: all."""
    front: str | None = None
    """Head, or the front-most keypoint; default: the first."""
    middle: str | None = None
    """Body; default: the one in the middle of the list."""
    back: str | None = None
    """Base of the tail; default: the last."""
    chain: tuple[str, ...] | None = None
    """Keypoints from one end to the other, for ``angles``; default: front, middle, back."""
    least_confidence: float = Field(default=0.0, ge=0.0, le=1.0)
    """Keypoints below it count as missing."""
    longest_gap: float | None = Field(default=None, gt=0.0)
    """Seconds of missing positions that are filled at most; default: all, and to the ends."""
    velocity: bool = True
    """Also the change of every feature from the frame before."""
    windows: tuple[Annotated[float, Field(gt=0.0)], ...] = ()
    """Seconds: also mean and deviation of every feature over a centred window of each."""


@dataclass(frozen=True, eq=False)
class Features:
    """Features of a recording.

    Attributes
    ----------
    series
        ``(time, feature)`` on the frames of the keypoints (or of the first series), NaN = not
        known.
    rate
        Frames per second: 1 / median step.
    notes
        What was missing, in words and numbers.
    """

    series: Series
    rate: float
    notes: tuple[str, ...] = ()


def features_of(recording: Recording, config: FeatureConfig | None = None) -> Features:
    """Compute the features of a recording.

    Parameters
    ----------
    recording
        Holds keypoints, series, or both.
    config
        Which features; default: those of its keypoints.

    Raises
    ------
    ConfigError
        If a keypoint, an individual or a set of features does not fit the keypoints.
    DataError
        If there is nothing to compute features from, or no keypoint was seen in any frame.
    """
    config = config or FeatureConfig()
    keypoints = _keypoints(recording, config)
    sources: dict[str, Series] = {}
    for name in config.series:
        found = recording[name]
        if not isinstance(found, Series):
            raise DataError(
                f"Recording {recording.name!r}: {name!r} is no series but "
                f"{type(found).__name__.lower()}; 'series' names series."
            )
        sources[name] = found
    if keypoints is None and not sources:
        raise DataError(
            f"Recording {recording.name!r} has no keypoints, and no series was named: there is "
            f"nothing to compute features from. It has: {', '.join(recording.streams) or 'none'}."
        )
    times = keypoints.times if keypoints is not None else next(iter(sources.values())).times
    if len(times) < 2:
        raise DataError(f"Recording {recording.name!r}: expected two frames or more.")
    rate = 1.0 / float(np.median(np.diff(times)))
    names: list[str] = []
    blocks: list[np.ndarray] = []
    notes: list[str] = []
    if keypoints is not None:
        computed, notes = _of_keypoints(recording.name, keypoints, config, rate)
        names += computed
        blocks += [each[:, None] for each in computed.values()]
    for name, source in sources.items():
        names += [f"{name}:{channel}" for channel in source.channels]
        blocks.append(on_times(source, times))
    if not blocks:
        raise DataError("features.sets is empty and features.series too: there are no features.")
    values = np.concatenate(blocks, axis=1)
    names, values = _with_changes(names, values, config, rate)
    valid = keypoints.valid if keypoints is not None else next(iter(sources.values())).valid
    series = Series(times, values.astype(np.float32), tuple(names), valid=valid)
    return Features(series, rate, tuple(notes))


def on_times(series: Series, times: np.ndarray) -> np.ndarray:
    """Return the values of a series at other times, ``(time, channel)``.

    On the same frames the values themselves; else linear between neighbours, NaN outside what was
    recorded.
    """
    own = series.times
    if len(own) == len(times) and len(own) > 1:
        step = np.median(np.diff(times))
        if np.abs(own - times).max() < _SAME * step:
            return np.asarray(series.values, np.float64)
    values = np.asarray(series.values, np.float64)
    found = np.stack(
        [np.interp(times, own, channel, left=np.nan, right=np.nan) for channel in values.T], axis=1
    )
    found[~series.valid.contains(times)] = np.nan
    return found


def _keypoints(recording: Recording, config: FeatureConfig) -> Keypoints | None:
    found = {k: v for k, v in recording.streams.items() if isinstance(v, Keypoints)}
    if config.keypoints is not None:
        stream = recording[config.keypoints]
        if not isinstance(stream, Keypoints):
            raise ConfigError(
                f"features.keypoints: {config.keypoints!r} of recording {recording.name!r} is no "
                f"keypoints stream; there is: {', '.join(found) or 'none'}."
            )
    elif len(found) > 1:
        raise ConfigError(
            f"Recording {recording.name!r} has several keypoints streams ({', '.join(found)}); "
            "choose one with features.keypoints."
        )
    else:
        stream = next(iter(found.values()), None)
    return stream


def _of_keypoints(
    recording: str, stream: Keypoints, config: FeatureConfig, rate: float
) -> tuple[dict[str, np.ndarray], list[str]]:
    chosen = config.individuals or stream.individuals
    who = [index_of(name, stream.individuals, "individuals") for name in chosen]
    positions = np.array(stream.positions[:, who])
    if config.least_confidence:
        positions[~(stream.confidence[:, who] >= config.least_confidence)] = np.nan
    seen = np.asarray(np.isfinite(positions).all(axis=-1))
    positions[~seen] = np.nan
    if not seen.any():
        raise DataError(
            f"Recording {recording!r}: no keypoint was seen in any of {len(seen)} frames"
            + (
                f" with a confidence of {config.least_confidence}."
                if config.least_confidence
                else "."
            )
        )
    longest = None if config.longest_gap is None else max(1, round(config.longest_gap * rate))
    filled = interpolated(positions, longest)
    notes = [
        f"{recording}: {name}/{part} was not seen in any frame."
        for i, name in enumerate(chosen)
        for k, part in enumerate(stream.keypoints)
        if not seen[:, i, k].any()
    ]
    sets = (_TWO if len(who) == 2 else _ONE) if config.sets is None else config.sets
    animals = Animals(filled, seen, tuple(chosen), stream.keypoints, config)
    computed: dict[str, np.ndarray] = {}
    for name in sets:
        computed |= SETS[name](animals)
    return computed, notes


def _with_changes(
    names: list[str], values: np.ndarray, config: FeatureConfig, rate: float
) -> tuple[list[str], np.ndarray]:
    all_names, blocks = list(names), [values]
    if config.velocity:
        all_names += [f"change of {name}" for name in names]
        blocks.append(velocity(values))
    for seconds in config.windows:
        frames = 2 * max(1, round(seconds * rate / 2)) + 1
        for what, found in zip(
            ("mean", "deviation"), window_statistics(values, frames), strict=True
        ):
            all_names += [f"{what} over {seconds:g} s of {name}" for name in names]
            blocks.append(found)
    return all_names, np.concatenate(blocks, axis=1)
