"""Smoothing of decoded trial variables over trials: a linear-Gaussian model of order one."""

from __future__ import annotations

from math import log, pi
from typing import Any, NamedTuple, Self

import numpy as np

from tinbergen.encoding.sequences import is_several, sequence, sequences
from tinbergen.errors import DataError
from tinbergen.saving import Saved

_MOST_PERSISTENT = 0.9999
_LEAST_VARIANCE = 1e-9  # share of the variance of the decoder's outputs


class _Posterior(NamedTuple):
    """Smoothed latents of one sequence.

    ``mean`` and ``variance`` ``(trial,)``, ``lagged`` ``(trial - 1,)``: covariance of each trial
    with the one before.
    """

    mean: np.ndarray
    variance: np.ndarray
    lagged: np.ndarray
    log_likelihood: float


class LGAR1(Saved):
    r"""What a decoder says of each trial, smoothed by what it says of the trials around it.

    ``value = mean + z``, ``z_k = rho z_{k-1} + xi noise``, and the decoder's output
    ``d = mu + theta z + sigma noise``. The posterior of the values is exact (Kalman filter and
    Rauch-Tung-Striebel smoother), where the papers sample it.

    Parameters
    ----------
    max_iterations, tolerance
        Of expectation maximisation: it ends when the log-likelihood gains less than ``tolerance``
        nats.

    Attributes
    ----------
    rho_, process_variance_, initial_variance_
        Of z: persistence, xi squared, variance in the first trial.
    mean_, mu_, theta_, noise_variance_
        From z to the value, and to the decoder's output.
    log_likelihoods_
        ``(iteration,)``, nats, never falling; empty if the true values were given.

    References
    ----------
    Zhang et al., "Exploiting correlations across trials and behavioral sessions to improve neural
    decoding", bioRxiv 2024; Shumway & Stoffer, Journal of Time Series Analysis 3, 1982.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> value = np.cumsum(rng.normal(size=200)) / 5
    >>> decoded = value + rng.normal(size=200)
    >>> smoothed = LGAR1().fit(decoded).predict(decoded)
    >>> bool(np.mean((smoothed - value) ** 2) < 0.5 * np.mean((decoded - value) ** 2))
    True
    """

    rho_: float
    process_variance_: float
    initial_variance_: float
    mean_: float
    mu_: float
    theta_: float
    noise_variance_: float
    log_likelihoods_: np.ndarray

    def __init__(self, max_iterations: int = 500, tolerance: float = 1e-4):
        self.max_iterations = max_iterations
        self.tolerance = tolerance

    def fit(self, D: Any, Y: Any = None) -> Self:
        """Fit to the outputs of a decoder.

        Parameters
        ----------
        D
            ``(trial,)`` decoder outputs in the order of the trials, NaN = none; or a list of
            these, one a session, which share all parameters.
        Y
            The true values of the same trials. The parameters then follow from them directly;
            without, they are found by expectation maximisation, with ``theta = 1``, and the
            values are on the scale of the outputs.

        Raises
        ------
        DataError
            If fewer than three outputs are known, or shapes do not fit.
        """
        outputs = sequences(D, "D")
        known = np.concatenate([d[np.isfinite(d)] for d in outputs])
        if len(known) < 3:
            raise DataError(f"Expected at least 3 known decoder outputs, found {len(known)}.")
        if Y is None:
            self._fit_by_em(outputs, known)
        else:
            values = sequences(Y, "Y")
            if [len(d) for d in outputs] != [len(y) for y in values]:
                raise DataError("D and Y: expected the same sessions and trials in both.")
            self._fit_to_values(outputs, values)
        return self

    def predict(self, D: Any) -> Any:
        """Return the expected value of each trial ``(trial,)`` given all outputs."""
        self._check_fitted()
        if is_several(D):
            return [self.predict(d) for d in D]
        return self.mean_ + self._smooth(sequence(D, "D")).mean

    def predict_std(self, D: Any) -> Any:
        """Return the standard deviation of each trial's value given all outputs."""
        self._check_fitted()
        if is_several(D):
            return [self.predict_std(d) for d in D]
        return np.sqrt(self._smooth(sequence(D, "D")).variance)

    def log_likelihood(self, D: Any) -> float:
        """Return the log-likelihood of decoder outputs, nats, over all sessions."""
        self._check_fitted()
        return sum(self._smooth(d).log_likelihood for d in sequences(D, "D"))

    def _fit_to_values(self, outputs: list[np.ndarray], values: list[np.ndarray]) -> None:
        """Set all parameters by least squares, from trials whose value is known."""
        self.mean_ = float(np.nanmean(np.concatenate(values)))
        centred = [y - self.mean_ for y in values]
        z, d = np.concatenate(centred), np.concatenate(outputs)
        both = np.isfinite(z) & np.isfinite(d)
        before = np.concatenate([y[:-1] for y in centred])
        after = np.concatenate([y[1:] for y in centred])
        pairs = np.isfinite(before) & np.isfinite(after)
        before, after, z, d = before[pairs], after[pairs], z[both], d[both]
        if len(z) < 3 or len(before) < 2 or not (before @ before and z.std()):
            raise DataError(
                "Expected true values that vary, known in neighbouring trials and together with "
                f"decoder outputs; found {len(z)} trials and {len(before)} pairs of neighbours."
            )
        least = _LEAST_VARIANCE * max(d.var(), z.var())
        rho = before @ after / (before @ before)
        self.rho_ = float(np.clip(rho, -_MOST_PERSISTENT, _MOST_PERSISTENT))
        self.process_variance_ = max(float(np.mean((after - self.rho_ * before) ** 2)), least)
        self.initial_variance_ = float(np.mean(z**2))
        self.theta_ = float((z - z.mean()) @ (d - d.mean()) / (len(z) * z.var()))
        self.mu_ = float(d.mean() - self.theta_ * z.mean())
        self.noise_variance_ = max(float(np.mean((d - self.mu_ - self.theta_ * z) ** 2)), least)
        self.log_likelihoods_ = np.empty(0)

    def _fit_by_em(self, outputs: list[np.ndarray], known: np.ndarray) -> None:
        spread = float(known.var()) or 1.0
        least = _LEAST_VARIANCE * spread
        self.mean_ = self.mu_ = float(known.mean())
        self.theta_, self.rho_ = 1.0, 0.8
        self.noise_variance_ = self.initial_variance_ = spread / 2
        self.process_variance_ = spread / 2 * (1 - self.rho_**2)
        history = []
        for _ in range(self.max_iterations):
            found = [self._smooth(d) for d in outputs]
            history.append(sum(posterior.log_likelihood for posterior in found))
            if len(history) > 1 and history[-1] - history[-2] < self.tolerance:
                break
            self._maximise(outputs, found, least)
        self.log_likelihoods_ = np.array(history)

    def _maximise(self, outputs: list[np.ndarray], found: list[_Posterior], least: float) -> None:
        """Set the parameters that are most likely given the posterior of z."""
        square = [p.variance + p.mean**2 for p in found]
        before = sum(float(s[:-1].sum()) for s in square)
        after = sum(float(s[1:].sum()) for s in square)
        cross = sum(float((p.lagged + p.mean[1:] * p.mean[:-1]).sum()) for p in found)
        steps = sum(len(s) - 1 for s in square)
        if steps:
            self.rho_ = float(np.clip(cross / before, -_MOST_PERSISTENT, _MOST_PERSISTENT))
            error = after - 2 * self.rho_ * cross + self.rho_**2 * before
            self.process_variance_ = max(error / steps, least)
        self.initial_variance_ = max(float(np.mean([s[0] for s in square])), least)
        there = [np.isfinite(d) for d in outputs]
        parts = list(zip(outputs, found, there, strict=True))
        rest = np.concatenate([(d - p.mean)[known] for d, p, known in parts])
        variance = np.concatenate([p.variance[known] for _, p, known in parts])
        self.mean_ = self.mu_ = float(rest.mean())
        self.noise_variance_ = max(float(np.mean((rest - self.mu_) ** 2 + variance)), least)

    def _smooth(self, d: np.ndarray) -> _Posterior:
        """Filter forwards, smooth backwards; plain floats, as arrays of one number are slow."""
        rho, theta = self.rho_, self.theta_
        predicted, filtered = [], []
        log_likelihood = 0.0
        mean, variance = 0.0, self.initial_variance_
        for k, value in enumerate((d - self.mu_).tolist()):
            if k:
                mean, variance = rho * mean, rho**2 * variance + self.process_variance_
            predicted.append((mean, variance))
            if value == value:  # not NaN
                scale = theta**2 * variance + self.noise_variance_
                error = value - theta * mean
                log_likelihood -= 0.5 * (log(2 * pi * scale) + error**2 / scale)
                gain = variance * theta / scale
                mean, variance = mean + gain * error, variance * self.noise_variance_ / scale
            filtered.append((mean, variance))
        means, variances, lagged = [mean], [variance], []
        for k in range(len(d) - 2, -1, -1):
            own, spread = filtered[k]
            ahead, ahead_spread = predicted[k + 1]
            gain = spread * rho / ahead_spread
            lagged.append(gain * variance)
            mean = own + gain * (mean - ahead)
            variance = spread + gain**2 * (variance - ahead_spread)
            means.append(mean)
            variances.append(variance)
        return _Posterior(
            np.array(means[::-1]),
            np.array(variances[::-1]),
            np.array(lagged[::-1], dtype=np.float64),
            log_likelihood,
        )
