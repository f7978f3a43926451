"""Windows of many sessions, from which batches are put together without a loop over sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tinbergen.errors import DataError
from tinbergen.population.batch import BLOCK, Batch
from tinbergen.population.config import PopulationConfig
from tinbergen.population.sessions import Session
from tinbergen.population.vocabulary import Vocabulary, class_numbers

_PRIOR_BINS = 40.0


class Corpus:
    """Counts and behaviour of sessions that a vocabulary knows.

    Windows of all sessions are numbered through, session after session.

    Parameters
    ----------
    sessions
        Some or all of the vocabulary's, in any order.

    Attributes
    ----------
    session
        ``(window,)`` int64: number of the session in the vocabulary.
    fold
        ``(window,)`` int64: see :attr:`Batch.fold`; windows of no more than one part of a session
        are together in a row of a batch.
    """

    def __init__(
        self, sessions: Sequence[Session], vocabulary: Vocabulary, config: PopulationConfig
    ):
        self.sessions, self.vocabulary, self.config = list(sessions), vocabulary, config
        numbers = [vocabulary.number(s.name) for s in sessions]
        for session, number in zip(sessions, numbers, strict=True):
            expected = vocabulary.sessions[number].n_units
            if session.n_units != expected:
                raise DataError(
                    f"Session {session.name!r}: expected {expected} units, found "
                    f"{session.n_units}. It is not the session that the model was fitted to."
                )
        lengths = np.array([len(s) for s in sessions])
        self.session = np.repeat(numbers, lengths)
        self.fold = np.zeros(len(self.session), dtype=int)
        self.first_window = np.cumsum(np.append(0, lengths))
        # Two-byte counts are widened: torch does not reckon with uint16.
        large = any(s.counts.dtype != np.uint8 for s in sessions)
        dtype = np.int32 if large else np.uint8
        self._counts = np.concatenate([s.counts.ravel().astype(dtype) for s in sessions])
        sizes = np.array([s.n_units for s in sessions])
        self._units = np.repeat(sizes, lengths)
        self._at = np.append(0, np.cumsum(self._units * vocabulary.n_bins))[:-1]
        self._region = vocabulary.region_numbers
        self._first_block = vocabulary.first_block
        self._recent, self._recent_at = None, np.append(0, np.cumsum(self._units))[:-1]
        if config.units.recent:
            memory = config.units.recent_windows
            known = vocabulary.sessions
            rates = [np.array(known[n].rates) for n in numbers]
            parts = [
                recent_rates(s.counts, r, memory) for s, r in zip(sessions, rates, strict=True)
            ]
            self._recent = np.concatenate([part.ravel() for part in parts])
        self._values, self._there = self._modalities(numbers)

    def __len__(self) -> int:
        return len(self.session)

    def rows(self, name: str, windows: np.ndarray | None = None) -> np.ndarray:
        """Return the numbers here of windows of a session (default: all)."""
        i = self._position(name)
        inside = np.arange(len(self.sessions[i])) if windows is None else np.asarray(windows)
        return self.first_window[i] + inside

    def _position(self, name: str) -> int:
        self.vocabulary.number(name)  # says what is known if it is not
        names = [s.name for s in self.sessions]
        if name not in names:
            raise DataError(f"Session {name!r} is not here; here are {', '.join(names[:10])}.")
        return names.index(name)

    def batch(self, windows: np.ndarray) -> Batch:
        """Return a batch of windows, as arrays."""
        windows = np.asarray(windows)
        session, fold = self.session[windows], self.fold[windows]
        sample, within, block = self._slots(session, fold)
        filled = sample >= 0
        sample = np.maximum(sample, 0)
        unit = within[:, None] * BLOCK + np.arange(BLOCK)
        sizes = self._units[windows][sample]
        present = (unit < sizes[:, None]) & filled[:, None]
        unit = np.where(present, unit, 0)
        time = np.arange(self.vocabulary.n_bins)[None, :, None]
        at = self._at[windows][sample][:, None, None] + time * sizes[:, None, None]
        counts = self._counts[at + unit[:, None, :]] * present[:, None, :]
        recent = np.zeros(unit.shape, np.float32)
        if self._recent is not None:
            recent = self._recent[self._recent_at[windows][sample][:, None] + unit] * present
        per_row = len(sample) // len(block)
        return Batch(
            counts,
            present,
            np.repeat(self._region[block], per_row, axis=0),
            sample,
            block,
            session,
            fold,
            recent,
            {name: values[windows] for name, values in self._values.items()},
            {name: there[windows] for name, there in self._there.items()},
        )

    def _slots(
        self, session: np.ndarray, fold: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Share samples out to rows of slots.

        Parameters
        ----------
        session, fold
            ``(sample,)``.

        Returns
        -------
        sample, within
            ``(slot,)``: the sample (-1: none), and which block of its session.
        block
            ``(row,)`` number of the block in the tables.
        """
        folds = fold.max(initial=0) + 1
        part = session * folds + fold
        order = np.argsort(part, kind="stable")
        names, first, number = np.unique(part[order], return_index=True, return_counts=True)
        per_row = -(-len(session) // len(names))
        rank = np.arange(len(session)) - np.repeat(first, number)
        groups = -(-number // per_row)
        first_group = np.cumsum(groups) - groups
        group = np.repeat(first_group, number) + rank // per_row
        members = np.full((groups.sum(), per_row), -1)
        members[group, rank % per_row] = order
        owner = np.repeat(names // folds, groups)
        blocks = np.diff(self._first_block)[owner]
        row_group = np.repeat(np.arange(len(owner)), blocks)
        within = np.arange(len(row_group)) - np.repeat(np.cumsum(blocks) - blocks, blocks)
        block = self._first_block[owner[row_group]] + within
        return members[row_group].ravel(), np.repeat(within, per_row), block

    def counts(self, name: str) -> np.ndarray:
        """Return all counts of a session, ``(window, time, unit)``."""
        return self.sessions[self._position(name)].counts

    def _modalities(
        self, numbers: Sequence[int]
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        values, there = {}, {}
        for name in self.config.modalities:
            parts = [
                self._modality(s, n, name) for s, n in zip(self.sessions, numbers, strict=True)
            ]
            values[name] = np.concatenate([part[0] for part in parts])
            there[name] = np.concatenate([part[1] for part in parts])
        return values, there

    def _modality(self, session: Session, number: int, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return one modality of a session, normalised, and where it is known."""
        modality, vocabulary = self.config.modalities[name], self.vocabulary
        known, width = vocabulary.sessions[number], vocabulary.widths[name]
        shape = (len(session),) if modality.static else (len(session), vocabulary.n_bins)
        if modality.kind == "categorical":
            if name not in session.values:
                return np.zeros(shape, np.int64), np.zeros(shape, bool)
            found = class_numbers(session.values[name], vocabulary.classes[name])
            return np.maximum(found, 0), found >= 0
        if name not in known.mean or name not in session.values:
            return np.zeros((*shape, width), np.float32), np.zeros(shape, bool)
        raw = np.asarray(session.values[name])
        there = np.asarray(np.isfinite(raw).all(axis=-1))
        if modality.kind == "continuous":
            raw = vocabulary.read(known.name, name, raw)
        return np.where(there[..., None], raw, 0).astype(np.float32), there


def recent_rates(counts: np.ndarray, rates: np.ndarray, memory: float) -> np.ndarray:
    """Return how each unit's rate in the windows before compares with its mean in training.

    ``log((a + sum_j g^j k_j) / (a + sum_j g^j m))`` over the windows before this one, where
    ``k_j`` are the spikes of window ``j`` and ``m`` those expected at the training rate,
    ``g = exp(-1 / memory)``, and ``a`` the spikes expected in 40 bins: nothing is known before the
    first window, and little is believed of few spikes.

    Parameters
    ----------
    counts
        ``(window, time, unit)``, in the order in which they were recorded.
    rates
        ``(unit,)`` mean spikes/bin in training.
    memory
        Windows.

    Returns
    -------
    ``(window, unit)`` float32.
    """
    n, time, units = counts.shape
    decay = np.exp(-1.0 / memory)
    spikes, expected = np.zeros(units), 0.0
    out = np.empty((n, units), np.float32)
    prior = _PRIOR_BINS * rates
    for window in range(n):
        out[window] = np.log((prior + spikes) / (prior + expected * rates))
        spikes = decay * spikes + decay * counts[window].sum(axis=0)
        expected = decay * (expected + time)
    return out


def split_windows(
    sessions: Sequence[Session], validation: float = 0.2, test: float = 0.2
) -> dict[str, dict[str, np.ndarray]]:
    """Cut each session into blocks of time: the last part tests, the one before validates.

    Returns
    -------
    ``{"train": {session: rows}, "validation": ..., "test": ...}``.
    """
    parts: dict[str, dict[str, np.ndarray]] = {"train": {}, "validation": {}, "test": {}}
    for session in sessions:
        n = len(session)
        edges = [0, round(n * (1 - validation - test)), round(n * (1 - test)), n]
        for part, first, last in zip(parts, edges[:-1], edges[1:], strict=True):
            parts[part][session.name] = np.arange(first, last)
    return parts


def as_rows(corpus: Corpus, part: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the numbers in a corpus of one part of a split."""
    rows = [corpus.rows(name, windows) for name, windows in part.items() if len(windows)]
    return np.concatenate(rows) if rows else np.zeros(0, dtype=int)
