"""Features of each frame, from the streams of a recording."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from tinbergen.actions.kinematics import (
    angles,
    direction,
    ego_aligned,
    interpolated,
    motion_energy,
    pairwise_distances,
    speed,
    turning,
    velocity,
    window_statistics,
)
from tinbergen.actions.social import social_motion, social_pair
from tinbergen.configuration import Config
from tinbergen.errors import ConfigError, DataError
from tinbergen.recordings import Keypoints, Recording, Series

FeatureSet = Literal[
    "positions",
    "ego",
    "distances",
    "angles",
    "speed",
    "heading",
    "energy",
    "missing",
    "social",
    "social_motion",
]
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
    who = [_index(name, stream.individuals, "individuals") for name in chosen]
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
    animals = _Animals(filled, seen, tuple(chosen), stream.keypoints, config)
    computed: dict[str, np.ndarray] = {}
    for name in sets:
        computed |= _SETS[name](animals)
    return computed, notes


@dataclass(frozen=True, eq=False)
class _Animals:
    """Filled positions ``(time, individual, keypoint, space)``, what was seen, and the names."""

    positions: np.ndarray
    seen: np.ndarray
    individuals: tuple[str, ...]
    keypoints: tuple[str, ...]
    config: FeatureConfig

    def part(self, what: Literal["front", "middle", "back"]) -> int:
        """Return the index of a keypoint that has a part to play."""
        name = getattr(self.config, what)
        if name is not None:
            return _index(name, self.keypoints, what)
        last = len(self.keypoints) - 1
        return {"front": 0, "middle": last // 2, "back": last}[what]

    def named(
        self, per_animal: Callable[[int], Mapping[str, np.ndarray]]
    ) -> dict[str, np.ndarray]:
        """Compute for each animal, under its name where there are several."""
        found = {}
        for i, who in enumerate(self.individuals):
            prefix = f"{who}/" if len(self.individuals) > 1 else ""
            found |= {prefix + name: values for name, values in per_animal(i).items()}
        return found


def _positions(animals: _Animals) -> dict[str, np.ndarray]:
    return animals.named(lambda i: _coordinates(animals.positions[:, i], animals.keypoints, ""))


def _ego(animals: _Animals) -> dict[str, np.ndarray]:
    origin, front = animals.part("middle"), animals.part("front")
    _differ(animals, "middle", "front")
    return animals.named(
        lambda i: _coordinates(
            ego_aligned(animals.positions[:, i], origin, front), animals.keypoints, "ego "
        )
    )


def _distances(animals: _Animals) -> dict[str, np.ndarray]:
    def of(i: int) -> dict[str, np.ndarray]:
        values, pairs = pairwise_distances(animals.positions[:, i])
        names = [f"{animals.keypoints[a]}-{animals.keypoints[b]}" for a, b in pairs]
        return dict(zip(names, values.T, strict=True))

    return animals.named(of)


def _angles(animals: _Animals) -> dict[str, np.ndarray]:
    names = animals.config.chain
    parts: Sequence[Literal["front", "middle", "back"]] = ("front", "middle", "back")
    if names is None:
        chain = [animals.part(what) for what in parts]
    else:
        chain = [_index(name, animals.keypoints, "chain") for name in names]
    if len(chain) < 3:
        raise ConfigError(f"features.chain: expected three keypoints or more, found {names}.")

    def of(i: int) -> dict[str, np.ndarray]:
        values = angles(animals.positions[:, i], chain)
        return {
            f"angle {animals.keypoints[k]}": v for k, v in zip(chain[1:-1], values.T, strict=True)
        }

    return animals.named(of)


def _speed(animals: _Animals) -> dict[str, np.ndarray]:
    names = [f"speed {name}" for name in animals.keypoints]
    return animals.named(lambda i: dict(zip(names, speed(animals.positions[:, i]).T, strict=True)))


def _heading(animals: _Animals) -> dict[str, np.ndarray]:
    front, middle, back = (animals.part(what) for what in ("front", "middle", "back"))
    _differ(animals, "back", "front")

    def of(i: int) -> dict[str, np.ndarray]:
        flat = animals.positions[:, i, :, :2]
        heading = direction(flat[:, back], flat[:, front])
        step = velocity(flat[:, middle])
        aside = step[:, 0] * heading[:, 1] - step[:, 1] * heading[:, 0]
        return {"ahead": (step * heading).sum(axis=1), "aside": aside, "turning": turning(heading)}

    return animals.named(of)


def _energy(animals: _Animals) -> dict[str, np.ndarray]:
    return animals.named(
        lambda i: _coordinates(
            motion_energy(animals.positions[:, i]), animals.keypoints, "energy "
        )
    )


def _missing(animals: _Animals) -> dict[str, np.ndarray]:
    return animals.named(lambda i: {"missing": 1.0 - animals.seen[:, i].mean(axis=1)})


def _social(animals: _Animals) -> dict[str, np.ndarray]:
    parts = _two(animals, "social")
    return social_pair(animals.positions[..., :2], *parts, 1.0 - animals.seen.mean(axis=2))


def _social_motion(animals: _Animals) -> dict[str, np.ndarray]:
    parts = _two(animals, "social_motion")
    return social_motion(animals.positions[..., :2], animals.seen, *parts)


def _two(animals: _Animals, name: str) -> tuple[int, int, int]:
    if len(animals.individuals) != 2:
        raise ConfigError(
            f"features.sets: {name!r} is about two animals, found {len(animals.individuals)}; "
            "choose two with features.individuals."
        )
    _differ(animals, "back", "front")
    return animals.part("front"), animals.part("middle"), animals.part("back")


_SETS: dict[FeatureSet, Callable[[_Animals], dict[str, np.ndarray]]] = {
    "positions": _positions,
    "ego": _ego,
    "distances": _distances,
    "angles": _angles,
    "speed": _speed,
    "heading": _heading,
    "energy": _energy,
    "missing": _missing,
    "social": _social,
    "social_motion": _social_motion,
}


def _coordinates(
    positions: np.ndarray, keypoints: Sequence[str], prefix: str
) -> dict[str, np.ndarray]:
    return {
        f"{prefix}{name} {axis}": positions[:, k, a]
        for k, name in enumerate(keypoints)
        for a, axis in enumerate("xyz"[: positions.shape[2]])
    }


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


def _index(name: str, names: Sequence[str], what: str) -> int:
    if name not in names:
        raise ConfigError(f"features.{what}: there is no {name!r}; there is: {', '.join(names)}.")
    return list(names).index(name)


def _differ(animals: _Animals, first: str, second: str) -> None:
    if animals.part(first) == animals.part(second):  # type: ignore[arg-type]
        raise ConfigError(
            f"features.{second} and features.{first} are one keypoint "
            f"({animals.keypoints[animals.part(first)]!r}), so there is no heading; "  # type: ignore
            "name two, or leave out the sets ego, heading and social."
        )
