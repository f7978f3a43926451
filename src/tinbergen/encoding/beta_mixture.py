"""Smoothing of decoded choices over trials: a hidden Markov model of blocks with Beta outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.special import betaln, digamma, polygamma

from tinbergen.encoding.sequences import is_several, sequences
from tinbergen.errors import ConfigError, DataError
from tinbergen.saving import Saved
from tinbergen.statespace.chains import forward_backward

_EDGE = 1e-6  # probabilities are kept so far from 0 and 1
_STICKY = 0.95
_LARGEST = 1e5  # concentration of a Beta; beyond it stands on a single value
_NEWTON_STEPS = 50


@dataclass(frozen=True, eq=False)
class _Expected:
    """Expected numbers of events: all that a maximisation needs.

    ``first`` ``(state,)``, ``moves`` ``(state, state)``, ``labels`` ``(state, 2)``: trials with
    each label; ``outputs`` ``(2, 3)``: for each label the trials with an output, and their sums
    of log d and log(1 - d).
    """

    first: np.ndarray
    moves: np.ndarray
    labels: np.ndarray
    outputs: np.ndarray

    def plus(self, other: _Expected, weight: float = 1.0) -> _Expected:
        return _Expected(
            self.first + weight * other.first,
            self.moves + weight * other.moves,
            self.labels + weight * other.labels,
            self.outputs + weight * other.outputs,
        )


class BetaMixtureHMM(Saved):
    """What a decoder says of a binary variable, smoothed by the blocks it comes in.

    A hidden state h (block) follows a Markov chain over trials; the label (choice, stimulus side)
    is 1 with the state's probability; the decoder's probability d is Beta distributed, one Beta
    for each label, with its mass towards 0 for label 0 and towards 1 for label 1.

    Parameters
    ----------
    n_states
        Number of blocks.
    max_iterations, tolerance
        Of expectation maximisation: it ends when its objective gains less than ``tolerance`` nats.

    Attributes
    ----------
    initial_, transitions_
        ``(state,)`` and ``(state, state)`` probabilities, from row to column.
    label_
        ``(state,)`` probability of label 1.
    beta_
        ``(2, 2)``: a and b for label 0, and for label 1.
    objectives_
        ``(iteration,)``, nats, never falling: the log-likelihood, and in :meth:`adapt` the
        log-prior with it.

    References
    ----------
    Zhang et al., "Exploiting correlations across trials and behavioral sessions to improve neural
    decoding", bioRxiv 2024.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> label = rng.random(300) < np.repeat([0.1, 0.9, 0.1], 100)
    >>> decoded = np.where(label, rng.beta(3, 2, 300), rng.beta(2, 3, 300))
    >>> smoothed = BetaMixtureHMM(2).fit(decoded).predict_proba(decoded)
    >>> bool(((smoothed > 0.5) == label).mean() > ((decoded > 0.5) == label).mean())
    True
    """

    initial_: np.ndarray
    transitions_: np.ndarray
    label_: np.ndarray
    beta_: np.ndarray
    objectives_: np.ndarray

    def __init__(self, n_states: int = 3, max_iterations: int = 300, tolerance: float = 1e-3):
        self.n_states = n_states
        self.max_iterations = max_iterations
        self.tolerance = tolerance

    def fit(self, D: Any, Y: Any = None) -> Self:
        """Fit to the outputs of a decoder by expectation maximisation.

        Parameters
        ----------
        D
            ``(trial,)`` decoded probabilities of label 1 in the order of the trials, NaN = none;
            or a list of these, one a session, which share all parameters.
        Y
            Labels 0 and 1 of the same trials where they are known, else NaN.

        Raises
        ------
        DataError
            If outputs are no probabilities, nothing is known, or shapes do not fit.
        """
        if self.n_states < 1:
            raise ConfigError(f"n_states: expected at least 1, found {self.n_states}.")
        outputs, labels = _checked(D, Y)
        n = self.n_states
        self.initial_ = np.full(n, 1 / n)
        stay = _STICKY if n > 1 else 1.0
        self.transitions_ = np.full((n, n), (1 - stay) / max(n - 1, 1))
        np.fill_diagonal(self.transitions_, stay)
        self.label_ = np.linspace(0.2, 0.8, n) if n > 1 else np.array([0.5])
        self.beta_ = np.array([[2.0, 4.0], [4.0, 2.0]])
        self._improve(outputs, labels, None, 0.0)
        return self

    def adapt(self, D: Any, Y: Any = None, *, strength: float = 20.0) -> Self:
        """Return a model of a new session that begins as this one and stays near it.

        The prior is conjugate: what this model expects of ``strength`` further trials is added to
        what is seen.
        """
        self._check_fitted()
        if strength < 0:
            raise ConfigError(f"strength: expected a number of trials >= 0, found {strength}.")
        model = type(self)(**self.parameters)
        vars(model).update(self._fitted)
        outputs, labels = _checked(D, Y)
        model._improve(outputs, labels, self._expected_of_one_trial(), strength)
        return model

    def predict_proba(self, D: Any) -> Any:
        """Return the probability of label 1 in each trial ``(trial,)`` given all outputs."""
        self._check_fitted()
        if is_several(D):
            return [self.predict_proba(d) for d in D]
        outputs, labels = _checked(D, None)
        return self._posterior(outputs[0], labels[0])[2][:, :, 1].sum(axis=1)

    def state_proba(self, D: Any) -> Any:
        """Return the probability of each state in each trial, ``(trial, state)``."""
        self._check_fitted()
        if is_several(D):
            return [self.state_proba(d) for d in D]
        outputs, labels = _checked(D, None)
        return self._posterior(outputs[0], labels[0])[2].sum(axis=2)

    def log_likelihood(self, D: Any) -> float:
        """Return the log-likelihood of decoder outputs, nats, over all sessions."""
        self._check_fitted()
        outputs, labels = _checked(D, None)
        pairs = zip(outputs, labels, strict=True)
        return float(sum(self._posterior(d, y)[0] for d, y in pairs))

    # --- expectation maximisation ---------------------------------------------------------

    def _improve(
        self,
        outputs: list[np.ndarray],
        labels: list[np.ndarray],
        prior: _Expected | None,
        strength: float,
    ) -> None:
        history: list[float] = []
        for _ in range(self.max_iterations):
            expected, objective = self._expect(outputs, labels)
            if prior is not None and strength > 0:
                expected = expected.plus(prior, strength)
                objective += strength * self._log_density(prior)
            history.append(objective)
            if len(history) > 1 and history[-1] - history[-2] < self.tolerance:
                break
            self._maximise(expected)
        self.objectives_ = np.array(history)

    def _expect(
        self, outputs: list[np.ndarray], labels: list[np.ndarray]
    ) -> tuple[_Expected, float]:
        """Return the expected events, and the log-likelihood."""
        n = self.n_states
        total = _Expected(np.zeros(n), np.zeros((n, n)), np.zeros((n, 2)), np.zeros((2, 3)))
        log_likelihood = 0.0
        for d, y in zip(outputs, labels, strict=True):
            gained, moves, joint = self._posterior(d, y)
            log_likelihood += gained
            known = np.isfinite(d)
            weight = joint.sum(axis=1)[known].T  # (label, trial)
            sums = weight @ np.log(np.stack([d[known], 1 - d[known]], axis=1))
            found = np.concatenate([weight.sum(axis=1, keepdims=True), sums], axis=1)
            seen = _Expected(joint[0].sum(axis=1), moves, joint.sum(axis=0), found)
            total = total.plus(seen)
        return total, log_likelihood

    def _maximise(self, expected: _Expected) -> None:
        self.initial_ = expected.first / expected.first.sum()
        leaving = expected.moves.sum(axis=1, keepdims=True)
        rows = expected.moves / np.where(leaving > 0, leaving, 1.0)
        self.transitions_ = np.where(leaving > 0, rows, self.transitions_)
        each = expected.labels.sum(axis=1)
        share = expected.labels[:, 1] / np.where(each > 0, each, 1.0)
        self.label_ = np.where(each > 0, share, self.label_)
        self.beta_ = np.stack(
            [
                _fit_beta(expected.outputs[0], self.beta_[0]),
                _fit_beta(expected.outputs[1][[0, 2, 1]], self.beta_[1][::-1])[::-1],
            ]
        )

    def _posterior(self, d: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Return log-likelihood, expected moves, and p(state, label) ``(trial, state, 2)``."""
        log_density = _log_beta(d, self.beta_)  # (trial, label)
        log_density[y == 0, 1] = log_density[y == 1, 0] = -np.inf
        highest = log_density.max(axis=1, keepdims=True)
        chance = np.stack([1 - self.label_, self.label_], axis=1)
        joint = np.exp(log_density - highest)[:, None] * chance  # (trial, state, label)
        emitted = joint.sum(axis=2)
        with np.errstate(divide="ignore"):
            found = forward_backward([np.log(emitted) + highest], self.initial_, self.transitions_)
        share = np.divide(joint, emitted[..., None], out=joint, where=emitted[..., None] > 0)
        joint = found.states[0][..., None] * share
        return float(found.log_likelihoods[0]), found.pairs, joint

    # --- the prior ------------------------------------------------------------------------

    def _expected_of_one_trial(self) -> _Expected:
        """Return what the model expects of a trial with each state equally likely."""
        n = self.n_states
        labels = np.stack([1 - self.label_, self.label_], axis=1) / n
        a, b = self.beta_.T
        logs = np.stack([np.ones(2), digamma(a) - digamma(a + b), digamma(b) - digamma(a + b)], 1)
        weight = labels.sum(axis=0)[:, None]
        return _Expected(self.initial_, self.transitions_ / n, labels, weight * logs)

    def _log_density(self, expected: _Expected) -> float:
        """Return the log-probability, under the parameters, of events seen so often."""
        chance = np.stack([1 - self.label_, self.label_], axis=1)
        events = [
            (expected.first, self.initial_),
            (expected.moves, self.transitions_),
            (expected.labels, chance),
        ]
        total = sum(_weighted_log(n, p) for n, p in events)
        return total + sum(
            _beta_objective(row, beta)
            for row, beta in zip(expected.outputs, self.beta_, strict=True)
        )


def _checked(D: Any, Y: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return outputs away from 0 and 1, and labels (NaN = unknown)."""
    outputs = sequences(D, "D")
    for d in outputs:
        if np.nanmin(d, initial=0) < 0 or np.nanmax(d, initial=1) > 1:
            raise DataError(
                "D: expected probabilities between 0 and 1, found values from "
                f"{np.nanmin(d):g} to {np.nanmax(d):g}."
            )
    if Y is None:
        labels = [np.full(len(d), np.nan) for d in outputs]
    else:
        labels = sequences(Y, "Y")
        if [len(d) for d in outputs] != [len(y) for y in labels]:
            raise DataError("D and Y: expected the same sessions and trials in both.")
        if not np.isin(known := np.concatenate(labels), [0, 1])[np.isfinite(known)].all():
            raise DataError("Y: expected the labels 0 and 1, or NaN where they are not known.")
    return [np.clip(d, _EDGE, 1 - _EDGE) for d in outputs], labels


def _log_beta(d: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """Return the log-density of each label's Beta ``(trial, label)``; 0 where d is NaN."""
    a, b = beta.T
    x = d[:, None]
    density = (a - 1) * np.log(x) + (b - 1) * np.log1p(-x) - betaln(a, b)
    return np.where(np.isfinite(x), density, 0.0)


def _weighted_log(numbers: np.ndarray, probabilities: np.ndarray) -> float:
    some = numbers > 0
    with np.errstate(divide="ignore"):
        return float((numbers[some] * np.log(probabilities[some])).sum())


def _beta_objective(sums: np.ndarray, beta: np.ndarray) -> float:
    """Return the log-likelihood of a, b given number, sum of log d, and sum of log(1 - d)."""
    n, log_d, log_rest = sums
    return float((beta[0] - 1) * log_d + (beta[1] - 1) * log_rest - n * betaln(*beta))


def _fit_beta(sums: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return the most likely a <= b; ``start`` where there is nothing to fit.

    The log-likelihood is concave in (a, b), so that Newton's method with halved steps finds the
    maximum, and one that violates a <= b means that the best of those allowed has a = b.
    """
    if sums[0] <= 0:
        return start
    found = _newton(sums, start)
    if found[0] > found[1]:
        even = sums[1:].mean()
        found = _newton(np.array([sums[0], even, even]), np.full(2, start.mean()))
    better = _beta_objective(sums, found) >= _beta_objective(sums, start)
    return found if better and found.sum() < _LARGEST else start


def _newton(sums: np.ndarray, start: np.ndarray) -> np.ndarray:
    beta, value = start, _beta_objective(sums, start)
    for _ in range(_NEWTON_STEPS):
        total = beta.sum()
        gradient = sums[1:] - sums[0] * (digamma(beta) - digamma(total))
        curvature = sums[0] * (np.diag(polygamma(1, beta)) - polygamma(1, total))
        step = np.linalg.solve(curvature, gradient)
        while (beta + step).min() <= 0 or _beta_objective(sums, beta + step) < value:
            step /= 2
            if np.abs(step).max() < 1e-12:
                return beta
        beta = beta + step
        gained, value = _beta_objective(sums, beta) - value, _beta_objective(sums, beta)
        if gained < 1e-10 * abs(value) or beta.sum() > _LARGEST:
            break
    return beta
