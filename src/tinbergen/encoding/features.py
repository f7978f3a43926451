"""Feature sets on common bins, each column known by its set and its name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinbergen.encoding.columns import Columns, Source
from tinbergen.encoding.grid import Grid
from tinbergen.encoding.sources import find_source
from tinbergen.encoding.streams import REGIONS
from tinbergen.errors import ConfigError, DataError
from tinbergen.recordings import Recording, Series


@dataclass(frozen=True, eq=False)
class Features:
    """What a model may look at: named sets of columns on the rows of one grid.

    Attributes
    ----------
    sets
        Name of the set -> its columns.
    """

    sets: Mapping[str, Columns]

    @property
    def known(self) -> np.ndarray:
        """``(row,)`` bool: rows in which every set is known."""
        return np.logical_and.reduce([known_rows(c) for c in self.sets.values()])

    def columns(self, name: str, train: np.ndarray) -> np.ndarray:
        """Return the columns of one set.

        Parameters
        ----------
        name
            Of the set.
        train
            ``(row,)`` bool: the only rows that components of frames are fitted on.

        Returns
        -------
        ``(row, column)``; NaN = not known.
        """
        chosen = self.sets[name]
        return chosen.values if chosen.project is None else chosen.project(train)


def known_rows(columns: Columns) -> np.ndarray:
    """Return ``(row,)`` bool: rows in which every column is known."""
    if columns.kind == "classes":
        return np.all(columns.values >= 0, axis=1)
    return np.all(np.isfinite(columns.values), axis=1)


def named_features(features: Any) -> dict[str, Any]:
    """Give each feature set a name.

    Parameters
    ----------
    features
        A selector (see :mod:`tinbergen.encoding.sources`), several with commas between, a Series,
        a mapping recording -> Series (or embedding), a list of these, or a mapping name -> one of
        these.

    Raises
    ------
    ConfigError
        If there is none, or two have one name.
    """
    if isinstance(features, Mapping) and features:
        inner = list(features.values())
        if all(isinstance(v, Series) or hasattr(v, "series") for v in inner):
            return {"features": features}
        return {str(name): value for name, value in features.items()}
    if isinstance(features, str):
        features = [part.strip() for part in features.split(",") if part.strip()]
    elif isinstance(features, Series | os.PathLike | Mapping):
        features = [features]
    named: dict[str, Any] = {}
    for number, each in enumerate(features):
        for part in each.split(",") if isinstance(each, str) else [each]:
            text = part.strip() if isinstance(part, str) else part
            name = os.fspath(text) if isinstance(text, str | os.PathLike) else f"set{number}"
            if name in named:
                raise ConfigError(f"The features {name!r} are named twice.")
            named[name] = text
    if not named:
        raise ConfigError("Expected features to predict from, found none.")
    return named


def find_features(
    recording: Recording,
    named: Mapping[str, Any],
    ranges: Mapping[str, np.ndarray | None] | None = None,
) -> dict[str, Source]:
    """Find the source of each feature set in one recording; ``ranges`` as for one source."""
    own = ranges or {}
    return {
        name: find_source(recording, wanted, ranges=own.get(name))
        for name, wanted in _each_group(recording, named).items()
    }


def _each_group(recording: Recording, named: Mapping[str, Any]) -> dict[str, Any]:
    """Put in place of ``stream/*`` (``stream/column=*``) a set for each group of its units."""
    found: dict[str, Any] = {}
    for name, wanted in named.items():
        stream, cut, group = wanted.rpartition("/") if isinstance(wanted, str) else ("", "", "")
        if not cut or not (group == "*" or group.endswith("=*")):
            found[name] = wanted
            continue
        table = getattr(recording.streams.get(stream), "table", None)
        columns = REGIONS if group == "*" else (group.removesuffix("=*"),)
        column = next((c for c in columns if table is not None and c in table), None)
        if table is None or column is None:
            raise DataError(
                f"{wanted!r} of recording {recording.name!r}: expected a stream of units whose "
                f"table has {' or '.join(columns)}, found "
                f"{'no such table' if table is None else ', '.join(map(str, table)) or 'none'}."
            )
        values = sorted({str(value) for value in table[column].dropna() if str(value)})
        found |= {
            each: each
            for value in values
            if (each := f"{stream}/{value if group == '*' else f'{column}={value}'}")
        }
    return found


def features_on(sources: Mapping[str, Source], grid: Grid) -> Features:
    """Bring feature sets onto a grid."""
    return Features({name: source.on(grid) for name, source in sources.items()})
