"""Which time of which recording is for training, validation and test.

Frames next to each other are all but equal, so a split is by recording, by animal, by trial, or
by blocks of time with a gap between them; never frame by frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from tinbergen.errors import DataError
from tinbergen.recordings.intervals import Intervals
from tinbergen.recordings.trials import Trials

WHOLE = Intervals([-np.inf], [np.inf])
FRACTIONS = MappingProxyType({"train": 0.8, "validation": 0.1, "test": 0.1})


@dataclass(frozen=True, eq=False)
class Split:
    """Part -> recording -> intervals of time, none in two parts.

    Attributes
    ----------
    parts
        ``{"train": {"mouse1": Intervals, ...}, ...}``; :data:`WHOLE` stands for all of it.

    Raises
    ------
    DataError
        If two parts share time of one recording.
    """

    parts: Mapping[str, Mapping[str, Intervals]]

    def __post_init__(self) -> None:
        names = list(self.parts)
        for i, one in enumerate(names):
            for other in names[i + 1 :]:
                for recording in self.parts[one].keys() & self.parts[other].keys():
                    shared = self.parts[one][recording] & self.parts[other][recording]
                    if len(shared):
                        raise DataError(
                            f"Split: {one} and {other} share {shared} s of {recording!r}."
                        )
        fixed = {part: MappingProxyType(dict(each)) for part, each in self.parts.items()}
        object.__setattr__(self, "parts", MappingProxyType(fixed))

    def __reduce__(self) -> tuple:
        return type(self), ({part: dict(each) for part, each in self.parts.items()},)

    def __getitem__(self, part: str) -> Mapping[str, Intervals]:
        if part not in self.parts:
            raise DataError(f"The split has no part {part!r}; it has: {', '.join(self.parts)}.")
        return self.parts[part]

    @property
    def recordings(self) -> set[str]:
        """Names of all recordings that appear in a part."""
        return {name for part in self.parts.values() for name in part}

    def contains(self, part: str, recording: str, times: np.ndarray) -> np.ndarray:
        """Return ``(n,)`` bool: which of ``times`` (s) of a recording belong to ``part``."""
        return self[part].get(recording, Intervals()).contains(times)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for YAML or JSON: ``all``, or a list of ``[start, stop]`` in s."""
        return {
            part: {
                name: "all"
                if intervals == WHOLE
                else np.stack([intervals.starts, intervals.stops], axis=1).tolist()
                for name, intervals in each.items()
            }
            for part, each in self.parts.items()
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Split:
        """Read what :meth:`to_dict` made.

        Raises
        ------
        DataError
            Naming the part and recording that is not as it should be.
        """
        parts: dict[str, dict[str, Intervals]] = {}
        for part, each in value.items():
            if not isinstance(each, Mapping):
                raise DataError(f"Split, {part}: expected 'recording: all' lines, found {each!r}.")
            parts[part] = {}
            for name, spans in each.items():
                try:
                    pairs = np.array(spans, dtype=float).reshape(-1, 2) if spans != "all" else None
                except (ValueError, TypeError):
                    raise DataError(
                        f"Split, {part}, {name}: expected 'all' or a list of [start, stop] in s, "
                        f"found {spans!r}."
                    ) from None
                parts[part][str(name)] = WHOLE if pairs is None else Intervals(*pairs.T)
        return cls(parts)


def split_by_recording(
    recordings: Iterable[str] | Mapping[str, str | None],
    fractions: Mapping[str, float] = FRACTIONS,
    *,
    seed: int,
) -> Split:
    """Give whole recordings to parts at random, at least one to each part.

    Parameters
    ----------
    recordings
        Their names; or name -> animal: then all recordings of an animal go to one part.
    fractions
        Part -> share of the recordings (or animals).
    seed
        Of the shuffle.

    Raises
    ------
    DataError
        If there are fewer recordings (or animals) than parts.
    """
    if isinstance(recordings, Mapping):
        groups = {name: name if animal is None else animal for name, animal in recordings.items()}
    else:
        groups = {name: name for name in recordings}
    units = sorted(set(groups.values()))
    owner = dict(zip(units, _assign(len(units), fractions, seed), strict=True))
    return Split(
        {
            part: {name: WHOLE for name, group in groups.items() if owner[group] == part}
            for part in fractions
        }
    )


def split_by_time_blocks(
    times: np.ndarray | Intervals,
    fractions: Mapping[str, float] = FRACTIONS,
    gap_s: float = 1.0,
    seed: int = 0,
    n_blocks: int = 20,
) -> dict[str, Intervals]:
    """Cut one recording into blocks of time and give them to parts at random.

    Parameters
    ----------
    times
        ``(n,)`` s of its samples, ascending; or its valid intervals.
    fractions
        Part -> share of the blocks; each part gets at least one.
    gap_s
        Seconds left out at the start of each block that follows a block of another part.
    seed
        Of the shuffle.
    n_blocks
        Number of blocks.

    Returns
    -------
    Part -> intervals; any two parts are at least ``gap_s`` apart.

    Raises
    ------
    DataError
        If a block would not be longer than the gap.
    """
    valid = times if isinstance(times, Intervals) else Intervals.of_samples(np.asarray(times))
    if not valid.duration / n_blocks > gap_s >= 0:
        raise DataError(
            f"Expected blocks longer than the gap of {gap_s} s; {valid.duration:.3g} s in "
            f"{n_blocks} blocks gives {valid.duration / n_blocks:.3g} s each. Use fewer blocks, a "
            "shorter gap, or split by recording."
        )
    owners = _assign(n_blocks, fractions, seed)
    edges = _edges_of_equal_blocks(valid, n_blocks)
    result = {part: Intervals() for part in fractions}
    for block, owner in enumerate(owners):
        follows_other = block > 0 and owners[block - 1] != owner
        start = edges[block] + (gap_s if follows_other else 0.0)
        result[owner] |= valid.between(start, edges[block + 1])
    return result


def _edges_of_equal_blocks(valid: Intervals, n_blocks: int) -> np.ndarray:
    """Return the times that cut ``valid`` into blocks of equal length, gaps not counted."""
    lengths = valid.stops - valid.starts
    before = np.concatenate([[0.0], np.cumsum(lengths)])
    targets = np.linspace(0.0, before[-1], n_blocks + 1)
    at = np.clip(np.searchsorted(before, targets, side="right") - 1, 0, len(lengths) - 1)
    edges = valid.starts[at] + targets - before[at]
    edges[-1] = np.inf
    return edges


def split_by_trials(
    trials: Trials, fractions: Mapping[str, float] = FRACTIONS, *, seed: int
) -> dict[str, Intervals]:
    """Give the trials of one recording to parts at random.

    Raises
    ------
    DataError
        If there are fewer trials than parts, or trials overlap.
    """
    overlap = np.flatnonzero(trials.stop[:-1] > trials.start[1:])
    if len(overlap):
        raise DataError(f"Trials {overlap[0]} and {overlap[0] + 1} overlap; split by time blocks.")
    owners = np.array(_assign(len(trials), fractions, seed))
    return {
        part: Intervals(trials.start[owners == part], trials.stop[owners == part])
        for part in fractions
    }


def _assign(n: int, fractions: Mapping[str, float], seed: int) -> list[str]:
    """Give ``n`` things to parts: counts by largest remainder, at least one each, shuffled."""
    parts = list(fractions)
    shares = np.array([fractions[part] for part in parts], dtype=float)
    if not len(parts) or (shares <= 0).any():
        raise DataError(f"Expected a share above 0 for each part, found {dict(fractions)}.")
    if n < len(parts):
        raise DataError(
            f"{len(parts)} parts need at least as many pieces, found {n}. Use fewer parts, or "
            "split by time blocks."
        )
    ideal = shares / shares.sum() * n
    counts = np.maximum(np.floor(ideal).astype(int), 1)
    while counts.sum() > n:
        counts[np.argmax(np.where(counts > 1, counts - ideal, -np.inf))] -= 1
    while counts.sum() < n:
        counts[np.argmax(ideal - counts)] += 1
    owners = [part for part, count in zip(parts, counts, strict=True) for _ in range(count)]
    return [owners[i] for i in np.random.default_rng(seed).permutation(n)]
