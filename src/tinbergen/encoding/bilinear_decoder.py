"""Reduced-rank decoder: the spikes of whole trials to behaviour, read by a shared time course."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from tinbergen.encoding.heldout import HeldOutScore
from tinbergen.encoding.inputs import numeric
from tinbergen.encoding.sessions import listed, session_arrays
from tinbergen.errors import ConfigError, DataError
from tinbergen.saving import Saved

_CG_STEPS, _CG_TOLERANCE = 200, 1e-8


class DecoderSession(Saved):
    """What belongs to one session of a :class:`BilinearDecoder`.

    Attributes
    ----------
    feature_mean_, feature_scale_
        ``(time, unit)`` and ``(unit,)``: how spikes are standardised.
    target_mean_, target_scale_
        ``(target,)``: how targets were; all bins of a behaviour side by side.
    loadings_
        U ``(unit, rank)``.
    """

    feature_mean_: np.ndarray
    feature_scale_: np.ndarray
    target_mean_: np.ndarray
    target_scale_: np.ndarray
    loadings_: np.ndarray

    @classmethod
    def of(cls, trials: _Trials, use: np.ndarray) -> tuple[DecoderSession, _Standard]:
        """Standardise the trials ``use`` (bool)."""
        session = cls()
        x, y = trials.x[use].astype(np.float64), trials.y[use].astype(np.float64)
        session.feature_mean_ = x.mean(axis=0)
        session.feature_scale_ = _scale(x.std(axis=(0, 1)))
        session.target_mean_ = y.mean(axis=0)
        session.target_scale_ = _scale(y.std(axis=0))
        y = (y - session.target_mean_) / session.target_scale_
        return session, _Standard(session.standard(x), y)

    def standard(self, x: np.ndarray) -> np.ndarray:
        """Standardise spikes ``(trial, time, unit)``."""
        return (x - self.feature_mean_) / self.feature_scale_

    def decode(self, x: np.ndarray, basis: np.ndarray) -> np.ndarray:
        """Return ``(trial, target)`` from spikes."""
        read = np.einsum("ktn,nr->krt", self.standard(x), self.loadings_).reshape(len(x), -1)
        return read @ basis.reshape(read.shape[1], -1) * self.target_scale_ + self.target_mean_


class BilinearDecoder(Saved):
    """The papers' reduced-rank decoder, by alternating least squares.

    ``y[k, d] = sum_n,t x[k, t, n] sum_r U[n, r] V[r, t, d] + b[d]``: each unit has ``rank``
    loadings, and the loaded sums over units are read at all times of the trial. The penalty is
    ``l2 |U V|^2`` on z-scored spikes and targets. With several sessions V is shared, U and b are
    each session's own.

    Parameters
    ----------
    rank, l2
        Numbers, or several to choose from on the validation trials.
    sweeps, tolerance
        Stop after so many alternations, or when one lowers the objective by a smaller share.

    Attributes
    ----------
    basis_
        V ``(rank, time, target)``.
    sessions_
        A :class:`DecoderSession` each.
    rank_, l2_, score_
        What was chosen, and its R2 on the validation trials (mean over targets); None if nothing
        was chosen.
    objective_, sweeps_
        Of the last fit.
    n_left_out_
        Trials with NaN.

    References
    ----------
    Zhang et al., "Exploiting correlations across trials and behavioral sessions to improve neural
    decoding", bioRxiv 2024. There U and V are found by AdamW in 800 epochs.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> spikes = rng.poisson(1.0, size=(60, 10, 5))
    >>> speed = spikes.cumsum(axis=1)[..., :1]
    >>> BilinearDecoder(rank=1, l2=1.0).fit(spikes, speed).predict(spikes).shape
    (60, 10, 1)
    """

    basis_: np.ndarray
    sessions_: list[DecoderSession]
    _parts: ClassVar[Mapping[str, type[Saved]]] = {"sessions_": DecoderSession}

    def __init__(
        self,
        rank: int | Sequence[int] = (2, 5, 10),
        l2: float | Sequence[float] = (100.0, 1000.0, 10000.0),
        *,
        sweeps: int = 10,
        tolerance: float = 1e-4,
    ):
        self.rank = rank
        self.l2 = l2
        self.sweeps = sweeps
        self.tolerance = tolerance

    def fit(self, X: Any, Y: Any, *, validate: Any = None) -> Self:
        """Fit one session, or several at once.

        Parameters
        ----------
        X
            Spikes ``(trial, time, unit)``; a list of these for several sessions.
        Y
            ``(trial,)``, ``(trial, column)`` or ``(trial, time, column)``, a list for a list.
        validate
            ``(trial,)`` bool: trials that choose rank and l2; by default every fifth.

        Raises
        ------
        DataError
            If arrays do not fit, or sessions have other times or targets than the first.
        """
        masks = listed(validate) if validate is not None else [None] * len(listed(X))
        if not len(listed(X)) == len(listed(Y)) == len(masks):
            raise DataError("Expected X, Y and validate of the same number of sessions.")
        trials = [_Trials.of(*items) for items in zip(listed(X), listed(Y), masks, strict=True)]
        shapes = {(part.x.shape[1], *part.shape) for part in trials}
        if len(shapes) > 1:
            raise DataError(
                "Expected the same number of bins and the same targets in all sessions, found "
                f"(time, *target) {sorted(shapes)}."
            )
        self.several_ = isinstance(X, list | tuple)
        self.shape_ = list(trials[0].shape)
        self.n_left_out_ = sum(int((~part.known).sum()) for part in trials)
        candidates = self._candidates(trials)
        self.score_, (self.rank_, self.l2_) = None, candidates[0]
        if len(candidates) > 1:
            self._choose(trials, candidates)
        found = [DecoderSession.of(part, part.known) for part in trials]
        solution = self._solve([data for _, data in found])
        self.basis_, self.objective_ = solution.basis, solution.objective
        self.sweeps_ = solution.sweeps
        self.sessions_ = [session for session, _ in found]
        for session, loadings in zip(self.sessions_, solution.loadings, strict=True):
            session.loadings_ = loadings
        return self

    def adapt(self, X: ArrayLike, Y: ArrayLike) -> Self:
        """Return a model of a new session: its own loadings for the reading found before."""
        self._check_fitted()
        trials = _Trials.of(X, Y, None)
        if (trials.x.shape[1], *trials.shape) != (self.basis_.shape[1], *self.shape_):
            raise DataError(
                f"Expected (time, *target) {(self.basis_.shape[1], *self.shape_)}, as the model "
                f"was fitted on, found {(trials.x.shape[1], *trials.shape)}."
            )
        model = type(self)(**self.parameters)
        vars(model).update(self._fitted)
        model.several_, model.score_ = False, None
        model.n_left_out_ = int((~trials.known).sum())
        session, data = DecoderSession.of(trials, trials.known)
        basis, turn = _orthonormal(self.basis_)
        start = np.zeros((trials.x.shape[2], len(basis)))
        session.loadings_ = _best_loadings(data, basis, self.l2_, start) @ np.linalg.pinv(turn)
        model.sessions_ = [session]
        return model

    def predict(self, X: Any, *, session: int | None = None) -> Any:
        """Return what Y holds, NaN for trials with NaN; arguments as in :meth:`fit`."""
        self._check_fitted()
        arrays = session_arrays(X, None, session, len(self.sessions_), self.several_)
        decoded = []
        for x, _, index in arrays:
            spikes, own = numeric(x, "X"), self.sessions_[index]
            if spikes.shape[1:] != own.feature_mean_.shape:
                raise DataError(
                    f"Expected trials of (time, unit) {own.feature_mean_.shape}, found shape "
                    f"{spikes.shape}."
                )
            decoded.append(own.decode(spikes, self.basis_).reshape(len(spikes), *self.shape_))
        return decoded if isinstance(X, list | tuple) else decoded[0]

    def _candidates(self, trials: list[_Trials]) -> list[tuple[int, float]]:
        """Return ranks and penalties to try; ranks beyond the number of units are full ones."""
        ranks, penalties = np.atleast_1d(self.rank), np.atleast_1d(self.l2)
        if not len(ranks) or ranks.min() < 1 or not len(penalties) or penalties.min() <= 0:
            raise ConfigError(
                f"Expected ranks >= 1 and penalties > 0, found {self.rank} and {self.l2}."
            )
        most = min(
            sum(part.x.shape[2] for part in trials),
            trials[0].x.shape[1] * trials[0].y.shape[1],
        )
        kept = sorted({min(int(rank), most) for rank in ranks})
        return list(itertools.product(kept, sorted(map(float, penalties), reverse=True)))

    def _choose(self, trials: list[_Trials], candidates: list[tuple[int, float]]) -> None:
        for part in trials:
            n, held = int((part.known & ~part.held).sum()), int(part.held.sum())
            if min(n, held) < 2:
                raise DataError(
                    "Expected two trials without NaN to fit on and two to choose rank and l2 on, "
                    f"found {n} and {held}. Give `validate`, one rank and one l2, or more trials."
                )
        found = [DecoderSession.of(part, part.known & ~part.held) for part in trials]
        chosen, best = candidates[0], -np.inf
        for self.rank_, self.l2_ in candidates:
            solution = self._solve([data for _, data in found])
            scores = []
            for part, (session, _), loadings in zip(trials, found, solution.loadings, strict=True):
                session.loadings_ = loadings
                decoded = session.decode(part.x[part.held], solution.basis)
                scores.append(HeldOutScore(part.y[part.held], "continuous")(decoded))
            if (score := float(np.mean(scores))) > best:
                chosen, best = (self.rank_, self.l2_), score
        (self.rank_, self.l2_), self.score_ = chosen, best

    def _solve(self, data: list[_Standard]) -> _Solution:
        return _alternate(data, self.rank_, self.l2_, self.sweeps, self.tolerance)


@dataclass(frozen=True, eq=False)
class _Trials:
    """A session: ``x`` (trial, time, unit), ``y`` (trial, target), ``shape`` of one Y."""

    x: np.ndarray
    y: np.ndarray
    shape: tuple[int, ...]
    known: np.ndarray
    held: np.ndarray

    @classmethod
    def of(cls, X: Any, Y: Any, validate: Any) -> _Trials:
        x, y = numeric(X, "X"), numeric(Y, "Y")
        if x.ndim != 3 or y.ndim not in (1, 2, 3) or len(x) != len(y):
            raise DataError(
                "Expected X (trial, time, unit) and Y (trial, ...) of the same trials, found "
                f"shapes {x.shape} and {y.shape}."
            )
        flat = y.reshape(len(y), -1)
        known = np.asarray(np.isfinite(x).all(axis=(1, 2)) & np.isfinite(flat).all(axis=1))
        held = np.arange(len(x)) % 5 == 4 if validate is None else np.asarray(validate)
        if held.dtype != bool or held.shape != (len(x),):
            raise DataError(f"validate: expected bool of shape ({len(x)},), found {held.shape}.")
        if known.sum() < 2:
            raise DataError(f"Expected two trials without NaN or more, found {known.sum()}.")
        return cls(x, flat, y.shape[1:], known, known & held)


class _Standard(NamedTuple):
    """Standardised spikes ``(trial, time, unit)`` and targets ``(trial, target)``."""

    x: np.ndarray
    y: np.ndarray


class _Solution(NamedTuple):
    basis: np.ndarray
    loadings: list[np.ndarray]
    objective: float
    sweeps: int


def _alternate(
    sessions: list[_Standard], rank: int, l2: float, sweeps: int, tolerance: float
) -> _Solution:
    """Alternate from the main directions of one ridge per session; the objective never rises."""
    loadings = _main_directions(sessions, rank, l2)
    basis, objective = _best_basis(sessions, loadings, l2)
    taken = 1
    while taken < sweeps:
        basis, turn = _orthonormal(basis)
        moved = [
            _best_loadings(session, basis, l2, own @ turn)
            for session, own in zip(sessions, loadings, strict=True)
        ]
        loadings = np.split(
            np.linalg.qr(np.concatenate(moved))[0], np.cumsum([len(m) for m in moved])[:-1]
        )
        basis, found = _best_basis(sessions, loadings, l2)
        taken += 1
        gain, objective = objective - found, found
        if gain <= tolerance * objective:
            break
    return _Solution(basis, loadings, objective, taken)


def _main_directions(sessions: list[_Standard], rank: int, l2: float) -> list[np.ndarray]:
    """Return the main directions, over units, of the weights of a full ridge per session."""
    weights = []
    for x, y in sessions:
        flat = x.reshape(len(x), -1)
        gram = flat @ flat.T
        gram[np.diag_indices_from(gram)] += l2
        full = (flat.T @ np.linalg.solve(gram, y)).reshape(*x.shape[1:], -1)
        weights.append(full.transpose(1, 0, 2).reshape(x.shape[2], -1))
    stacked = np.concatenate(weights)
    vectors = np.linalg.eigh(stacked @ stacked.T)[1][:, ::-1][:, :rank]
    return np.split(vectors, np.cumsum([len(w) for w in weights])[:-1])


def _best_basis(
    sessions: list[_Standard], loadings: list[np.ndarray], l2: float
) -> tuple[np.ndarray, float]:
    """Return V for loadings whose columns, over all sessions, are orthonormal; the objective."""
    pairs = list(zip(sessions, loadings, strict=True))
    read = np.concatenate(
        [np.einsum("ktn,nr->krt", s.x, u).reshape(len(s.x), -1) for s, u in pairs]
    )
    y = np.concatenate([s.y for s in sessions])
    small = read if len(read) >= read.shape[1] else read.T  # solve on the shorter side
    gram = small.T @ small
    gram[np.diag_indices_from(gram)] += l2
    if small is read:
        flat = np.linalg.solve(gram, read.T @ y)
    else:
        flat = read.T @ np.linalg.solve(gram, y)
    objective = float(((y - read @ flat) ** 2).sum() + l2 * (flat**2).sum())
    return flat.reshape(loadings[0].shape[1], -1, y.shape[1]), objective


def _orthonormal(basis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return V with orthonormal components, and what U is multiplied with (from the right)."""
    q, r = np.linalg.qr(basis.reshape(len(basis), -1).T)
    return q.T.reshape(-1, *basis.shape[1:]), r.T


def _best_loadings(
    session: _Standard, basis: np.ndarray, l2: float, start: np.ndarray
) -> np.ndarray:
    """Return U for a V of orthonormal components, by conjugate gradients from ``start``."""
    x, y = session
    trials, bins, units = x.shape
    rank = len(basis)
    flat = x.reshape(-1, units)
    reading = basis.transpose(1, 0, 2).reshape(bins * rank, -1)  # (time * rank, target)
    gram = reading @ reading.T

    def curved(u: np.ndarray) -> np.ndarray:
        read = (flat @ u).reshape(trials, -1) @ gram
        return flat.T @ read.reshape(-1, rank) + l2 * u

    right = flat.T @ (y @ reading.T).reshape(-1, rank)
    u = start
    residual = right - curved(u)
    direction, size = residual, float((residual**2).sum())
    enough = _CG_TOLERANCE**2 * float((right**2).sum())
    for _ in range(_CG_STEPS):
        if size <= enough:
            break
        image = curved(direction)
        step = size / float((direction * image).sum())
        u, residual = u + step * direction, residual - step * image
        before, size = size, float((residual**2).sum())
        direction = residual + size / before * direction
    return u


def _scale(deviation: np.ndarray) -> np.ndarray:
    return np.where(deviation > 1e-9, deviation, 1.0)
