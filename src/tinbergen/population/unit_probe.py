"""What the vectors of units know of where the units lie: a linear probe for regions.

A unit's own vectors and loadings are fitted to its activity without its region, so a region that
can be read from them was found there. Firing statistics of the same units are the baseline.
Loadings compare units of one recording, whose factors are its own; vectors into and out of the
network compare units of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from tinbergen.errors import ConfigError
from tinbergen.metrics import class_probe, grouped_folds
from tinbergen.population.model import PopulationModel
from tinbergen.population.sessions import UNKNOWN_REGION
from tinbergen.population.vocabulary import Vocabulary

Split = Literal["within", "across"]

_FOLDS = 5
_SHUFFLES = 5
_LEAST = 5  # units of a region
_LAGS = 5  # bins
_PSTH_BINS = 10


def unit_vectors(model: PopulationModel, vocabulary: Vocabulary, session: str) -> np.ndarray:
    """Return the vectors of a session's units, in and out beside each other.

    Returns
    -------
    ``(unit, 2 x network width)`` float32.

    Raises
    ------
    ConfigError
        If the model has a network a session in place of vectors of units.
    """
    if model.stitch is not None:
        raise ConfigError("Vectors of units need units.read: table; this model has stitches.")
    number = vocabulary.number(session)
    rows = slice(vocabulary.first_block[number], vocabulary.first_block[number + 1])
    tables = (model.tables.unit_in, model.tables.unit_out)
    parts = [table[rows].detach().flatten(0, 1).cpu().numpy() for table in tables]
    return np.concatenate(parts, axis=1)[: vocabulary.sessions[number].n_units]


def unit_loadings(model: PopulationModel, vocabulary: Vocabulary, session: str) -> np.ndarray:
    """Return how a session's units load on its factors, ``(unit, most factors)`` float32.

    Without a linear path there are none: ``(unit, 0)``.
    """
    number = vocabulary.number(session)
    units = vocabulary.sessions[number].n_units
    if model.linear is None:
        return np.zeros((units, 0), np.float32)
    rows = slice(vocabulary.first_block[number], vocabulary.first_block[number + 1])
    return model.linear.linear_in[rows].flatten(0, 1)[:units].cpu().numpy()


def firing_statistics(counts: np.ndarray) -> np.ndarray:
    """Describe how units fire, without looking at other units.

    Parameters
    ----------
    counts
        ``(window, time, unit)`` spikes/bin.

    Returns
    -------
    ``(unit, statistic)``: log mean rate, log Fano factor of window counts, autocorrelation of
    counts at 1 to 5 bins, and the shape of the PSTH in 10 parts (relative to its mean).
    """
    y = counts.astype(np.float64)
    mean = y.mean(axis=(0, 1))
    totals = y.sum(axis=1)
    fano = totals.var(axis=0) / np.maximum(totals.mean(axis=0), 1e-3)
    centred = y - y.mean(axis=0)
    variance = np.maximum((centred**2).mean(axis=(0, 1)), 1e-9)
    lags = range(1, min(_LAGS, y.shape[1] - 1) + 1)
    correlations = [(centred[:, k:] * centred[:, :-k]).mean(axis=(0, 1)) / variance for k in lags]
    parts = np.array_split(y.mean(axis=0), min(_PSTH_BINS, y.shape[1]))
    shape = [part.mean(axis=0) / np.maximum(mean, 1e-3) for part in parts]
    return np.stack([np.log(mean + 1e-3), np.log(fano + 1e-2), *correlations, *shape], axis=1)


def region_probe(
    features: np.ndarray,
    regions: np.ndarray,
    recordings: np.ndarray,
    *,
    splits: Sequence[Split] = ("within", "across"),
    seed: int = 0,
) -> pd.DataFrame:
    """Read regions from features of units by logistic regression, classes counting alike.

    Parameters
    ----------
    features
        ``(unit, feature)``.
    regions, recordings
        ``(unit,)`` names.
    splits
        What to ask.

    Returns
    -------
    DataFrame
        A row a recording for ``within`` (its units from others of them, 5 folds) and ``across``
        (its units from those of all other recordings), where that can be asked: ``split,
        recording, value, chance, majority, shuffled, n``. ``value`` is the balanced accuracy,
        ``shuffled`` what it is with regions shuffled within recordings, ``majority`` the accuracy
        of naming the most frequent region.
    """
    known = regions != UNKNOWN_REGION
    x, y, session = features[known], regions[known].astype(str), recordings[known].astype(str)
    rng = np.random.default_rng(seed)
    rows = []
    for split in splits:
        problems = _within(y, session, seed) if split == "within" else _across(y, session)
        for recording, (units, folds) in problems.items():
            value, chance, majority = _probe(x[units], y[units], folds)
            null = [
                _probe(x[units], _shuffled(y[units], session[units], rng), folds)[0]
                for _ in range(_SHUFFLES)
            ]
            n = sum(map(len, folds))
            rows.append((split, recording, value, chance, majority, np.mean(null), n))
    columns = ["split", "recording", "value", "chance", "majority", "shuffled", "n"]
    return pd.DataFrame(rows, columns=columns)


Problem = tuple[np.ndarray, list[np.ndarray]]
"""Indices of the units that are looked at; and of these units the folds that are tested."""


def _within(regions: np.ndarray, recordings: np.ndarray, seed: int) -> dict[str, Problem]:
    problems = {}
    for recording in np.unique(recordings):
        units = np.flatnonzero(recordings == recording)
        units = units[np.isin(regions[units], _frequent(regions[units]))]
        names = regions[units]
        if len(np.unique(names)) < 2:
            continue
        fold = np.zeros(len(units), dtype=int)  # each region is dealt out by itself
        for name in np.unique(names):
            mine = np.flatnonzero(names == name)
            for number, part in enumerate(grouped_folds(mine, _FOLDS, seed=seed)):
                fold[mine[part]] = number
        folds = [np.flatnonzero(fold == number) for number in range(_FOLDS)]
        problems[str(recording)] = (units, folds)
    return problems


def _across(regions: np.ndarray, recordings: np.ndarray) -> dict[str, Problem]:
    problems = {}
    for recording in np.unique(recordings):
        mine = recordings == recording
        shared = set(_frequent(regions[mine])) & set(_frequent(regions[~mine]))
        units = np.flatnonzero(np.isin(regions, sorted(shared)))
        if len(shared) > 1:
            problems[str(recording)] = (units, [np.flatnonzero(mine[units])])
    return problems


def _frequent(regions: np.ndarray) -> np.ndarray:
    names, number = np.unique(regions, return_counts=True)
    return names[number >= _LEAST]


def _probe(x: np.ndarray, y: np.ndarray, folds: list[np.ndarray]) -> tuple[float, float, float]:
    """Return balanced accuracy, chance, and the accuracy of the majority of the training units."""
    asked = np.concatenate(folds)
    rest = np.setdiff1d(np.arange(len(y)), asked)  # only trained on
    probe = class_probe(x, y, [*folds, *([rest] if len(rest) else [])])
    hits = []
    for fold in folds:
        names, number = np.unique(np.delete(y, fold), return_counts=True)
        hits.append(y[fold] == names[number.argmax()])
    recalls = [probe.correct[asked][y[asked] == name].mean() for name in np.unique(y[asked])]
    return float(np.mean(recalls)), 1 / len(recalls), float(np.concatenate(hits).mean())


def _shuffled(regions: np.ndarray, recordings: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shuffle regions within each recording."""
    out = regions.copy()
    for recording in np.unique(recordings):
        mine = np.flatnonzero(recordings == recording)
        out[mine] = regions[rng.permutation(mine)]
    return out
