"""The classical models beside a population model: the same windows, the same questions.

All weights come from the training windows; the validation windows choose penalties, and rates are
matched to them, as they choose the checkpoint of the network and shift its rates. A model that
cannot be fitted (one class in training, a region too small) has no answer, which is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinbergen.encoding import (
    PSTH,
    ForwardRidge,
    Logistic,
    PeerRidge,
    ReducedRank,
    Ridge,
    WindowLogistic,
)
from tinbergen.encoding.peers import Peers
from tinbergen.errors import DataError
from tinbergen.metrics import poisson_nll
from tinbergen.population.questions import SPIKES, Question
from tinbergen.population.sessions import Session
from tinbergen.population.vocabulary import BELIEF

MAJORITY, TRAINING_MEAN, MEAN_RATE = "majority", "training mean", "mean rate"
METHODS = (
    *(MAJORITY, TRAINING_MEAN, MEAN_RATE, "PSTH", "conditional PSTH", "ridge", "reduced rank"),
    *("logistic", "probe of states"),
)
"""Names of all of them."""
_PEERS: dict[str, Peers] = {
    "co_smoothing": "all",
    "intra_region": "own_region",
    "inter_region": "other_regions",
}
_PARTS = 4  # of a window, in which what changes within it is averaged
_LAGS = (-3, 3)
_COMPONENTS = 100
_SHRINKS = (0.0, 0.25, 0.5, 0.75, 1.0)
_FLOOR = 0.1  # of a unit's mean rate: the lowest rate that is predicted


class Baselines:
    """Classical answers to the questions about one session.

    Parameters
    ----------
    session
        Its windows.
    train, validation, test
        Rows of the session. Without validation windows the last fifth of ``train`` chooses.
    classes
        Categorical modality -> class of each window and, if it changes, bin: int64, -1 = unknown.
    rates
        ``(unit,)`` mean spikes/bin in training.
    """

    def __init__(
        self,
        session: Session,
        train: np.ndarray,
        validation: np.ndarray,
        test: np.ndarray,
        classes: Mapping[str, np.ndarray],
        rates: np.ndarray,
    ):
        self.session, self.classes = session, classes
        if not len(validation):
            cut = max(1, len(train) - max(1, len(train) // 5))
            train, validation = train[:cut], train[cut:]
        self.fit = np.concatenate([train, validation])
        self.held = np.arange(len(self.fit)) >= len(train)
        self.test, self.rates = test, rates

    # --- spikes ---------------------------------------------------------------------------

    def spikes(self, question: Question, future: int) -> dict[str, np.ndarray]:
        """Return method -> ``(window, time, unit)`` spikes/bin; of ``forward`` the last bins."""
        counts = self.session.counts
        shape = counts[self.test].shape
        answers = {
            MEAN_RATE: np.broadcast_to(self.rates, shape),
            "PSTH": self._matched(self._psth()),
        }
        if question.task == "forward":
            answers = {name: rates[:, -future:] for name, rates in answers.items()}
        try:
            answers |= self._linear_spikes(question, future)
        except DataError:
            answers["ridge"] = np.full(answers["PSTH"].shape, np.nan)
        return answers

    def _linear_spikes(self, question: Question, future: int) -> dict[str, np.ndarray]:
        counts = self.session.counts
        fit, test = counts[self.fit].astype(float), counts[self.test].astype(float)
        if question.task == "forward":
            forward = ForwardRidge(n_bins=future).fit(fit, validate=self.held)
            return {"ridge": forward.predict(test)}
        if question.task == "encoding":
            return self._encoding(question)
        peers = PeerRidge(peers=_PEERS[question.task])
        return {"ridge": peers.fit(fit, self.session.regions, validate=self.held).predict(test)}

    def _psth(self, conditions: np.ndarray | None = None) -> np.ndarray:
        """Return the smoothed PSTH of the training windows in all windows of the session."""
        counts, train = self.session.counts.astype(float), self.fit[~self.held]

        def of(windows: np.ndarray | slice) -> dict[str, Any]:
            return {} if conditions is None else {"conditions": conditions[windows]}

        chosen = PSTH().fit(counts[self.fit], counts[self.fit], validate=self.held, **of(self.fit))
        psth = PSTH((chosen.sigma_,)).fit(counts[train], counts[train], **of(train))
        return psth.predict(counts, **of(slice(None)))

    def _matched(self, rates: np.ndarray) -> np.ndarray:
        """Return rates of the test windows, scaled to what units have in the validation windows.

        As if ten spikes more had been seen as foretold, as the network's are.
        """
        validation = self.fit[self.held]
        seen = self.session.counts[validation].sum(axis=(0, 1))
        return rates[self.test] * (seen + BELIEF) / (rates[validation].sum(axis=(0, 1)) + BELIEF)

    def _encoding(self, question: Question) -> dict[str, np.ndarray]:
        """Regress what counts have beyond the PSTH on behaviours; validation makes rates of it."""
        counts, validation = self.session.counts.astype(float), self.fit[self.held]
        psth, floor = self._psth(), _FLOOR * self.rates
        x, answers = self._by_bin(question.given), {}
        for name, kind in (("ridge", Ridge), ("reduced rank", ReducedRank)):
            added = self._fitted(kind, x, counts - psth).predict(x)
            rates = [np.maximum(psth + shrink * added, floor) for shrink in _SHRINKS]
            losses = [poisson_nll(counts[validation], each[validation]).sum() for each in rates]
            answers[name] = self._matched(rates[int(np.argmin(losses))])
        conditions = self._conditions(question.given)
        if conditions is not None:
            answers["conditional PSTH"] = self._matched(self._psth(conditions))
        return answers

    def _conditions(self, given: Sequence[str]) -> np.ndarray | None:
        """Return a number a window for the combination of its classes; None without classes."""
        static = [name for name in given if name in self.classes and self.classes[name].ndim == 1]
        if not static:
            return None
        table = np.stack([self.classes[name] for name in static], axis=1)
        return np.unique(table, axis=0, return_inverse=True)[1].ravel()

    # --- behaviour ------------------------------------------------------------------------

    def null(self, question: Question) -> dict[str, np.ndarray]:
        """Return what is said of a behaviour without looking: its majority, or its mean."""
        target, train = question.target, self.fit[~self.held]
        if target in self.classes:
            labels = self.classes[target]
            seen = labels[train][labels[train] >= 0]
            most = np.bincount(seen).argmax() if len(seen) else 0
            return {MAJORITY: np.full(labels[self.test].shape, most)}
        values = self.session.values[target]
        return {TRAINING_MEAN: np.broadcast_to(self._mean(values), values[self.test].shape)}

    def behaviour(
        self, question: Question, states: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """Return method -> values, or numbers of classes, in the test windows.

        Parameters
        ----------
        states
            ``(window, time, width)``, of all windows: what the network makes of them, for a linear
            probe beside the features.
        """
        target, answers = question.target, self.null(question)
        shape = next(iter(answers.values())).shape
        categorical = target in self.classes
        answer = self._classified if categorical else self._regressed
        sources: dict[str, Any] = {"logistic" if categorical else "ridge": question.given}
        if states is not None:
            sources["probe of states"] = states
        for name, source in sources.items():
            try:
                answers[name] = answer(target, source)
            except DataError:
                answers[name] = np.full(shape, np.nan)
        return answers

    def _classified(self, target: str, source: Sequence[str] | np.ndarray) -> np.ndarray:
        labels = self.classes[target]
        if labels.ndim == 2:  # a class a bin: windows all of whose bins are known
            known = (labels[self.fit] >= 0).all(axis=1)
            x = self._features(source, by_bin=True)
            model = Logistic(lags=_LAGS, components=_COMPONENTS, balanced=True)
            fit = self.fit[known]
            model.fit(x[fit], labels[fit].astype(float), validate=self.held[known])
            return model.predict(x[self.test]).astype(int)
        known = labels[self.fit] >= 0
        fit, held = self.fit[known], self.held[known]
        if len(np.unique(labels[fit[~held]])) < 2 or not held.any():
            raise DataError(f"{target}: fewer than two classes in training.")
        if not isinstance(source, np.ndarray) and tuple(source) == (SPIKES,):
            counts = self.session.counts.astype(float)
            model = WindowLogistic().fit(counts[fit], labels[fit], validate=held)
            return model.predict(counts[self.test])
        x = self._features(source, by_bin=False)
        chosen = Logistic(balanced=True).fit(x[fit], labels[fit].astype(float), validate=held)
        model = Logistic(alphas=(chosen.alpha_,), balanced=True)
        model.fit(x[fit[~held]], labels[fit[~held]].astype(float))
        return model.predict(x[self.test]).astype(int)

    def _regressed(self, target: str, source: Sequence[str] | np.ndarray) -> np.ndarray:
        values = self.session.values[target]
        x = self._features(source, by_bin=values.ndim == 3)
        return self._fitted(Ridge, x, values).predict(x[self.test])

    def _fitted(self, kind: type[Ridge], x: np.ndarray, y: np.ndarray) -> Ridge:
        """Choose on the validation windows, then fit on the training windows alone."""
        options: dict[str, Any] = {"components": None, "target": "continuous"}
        options["lags"] = _LAGS if x.ndim == 3 else (0, 0)
        if x.shape[-1] > _COMPONENTS:
            options["components"] = _COMPONENTS
        chosen = kind(**options).fit(x[self.fit], y[self.fit], validate=self.held)
        options["alphas"] = (chosen.alpha_,)
        if isinstance(chosen, ReducedRank):
            options["ranks"] = (chosen.rank_,)
        train = self.fit[~self.held]
        return kind(**options).fit(x[train], y[train])

    # --- features -------------------------------------------------------------------------

    def _features(self, source: Sequence[str] | np.ndarray, *, by_bin: bool) -> np.ndarray:
        """Return ``(window, time, feature)``, or ``(window, feature)``: means of parts of each."""
        dense = source if isinstance(source, np.ndarray) else self._by_bin(source)
        if by_bin:
            return dense
        cuts = np.array_split(dense, min(_PARTS, dense.shape[1]), axis=1)
        return np.concatenate([cut.mean(axis=1) for cut in cuts], axis=1)

    def _by_bin(self, given: Sequence[str]) -> np.ndarray:
        """Return what is given in every bin, ``(window, time, feature)``; no NaN."""
        n, time, _ = self.session.counts.shape
        parts = []
        for name in given:
            if name == SPIKES:
                parts.append(np.sqrt(self.session.counts))
                continue
            if name in self.classes:
                labels = self.classes[name]
                values = (labels[..., None] == np.arange(labels.max() + 1)).astype(float)
            else:
                values = self.session.values[name]
                values = np.where(np.isfinite(values), values, self._mean(values))
            if values.ndim == 2:
                values = np.broadcast_to(values[:, None], (n, time, values.shape[1]))
            parts.append(values)
        return np.concatenate(parts, axis=2)

    def _mean(self, values: np.ndarray) -> np.ndarray:
        """Mean of each channel over the known values of the training windows; 0 where none is."""
        flat = values[self.fit[~self.held]].reshape(-1, values.shape[-1])
        known = np.isfinite(flat)
        return np.where(known, flat, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
