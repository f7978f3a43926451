"""Switching linear dynamical system: latents with dynamics that change from state to state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.decomposition import PCA

from tinbergen.actions.regression import (
    Moments,
    Prior,
    default_prior,
    log_densities,
    log_prior,
    moments,
    most_likely,
)
from tinbergen.actions.state_segmenter import Expected, StateSegmenter
from tinbergen.errors import ConfigError
from tinbergen.statespace.chains import forward_backward
from tinbergen.statespace.gaussian import GaussianChain, smooth

_ROUNDS = 30  # of inference for new sequences, at most
_START_ITERATIONS = 10
_LEAST_NOISE = 0.01  # of the prior of the observations, share of their variance


class _Fitted(StateSegmenter):
    """Fitted attributes, which are no parameters."""

    weights_: np.ndarray
    noise_: np.ndarray
    loading_: np.ndarray
    observation_noise_: np.ndarray
    start_: np.ndarray
    start_noise_: np.ndarray
    prior_mean_: np.ndarray
    prior_scatter_: np.ndarray
    observation_scatter_: np.ndarray


@dataclass(eq=False, repr=False)
class SLDS(_Fitted):
    """Behaviour as a chain of states that switch the dynamics of hidden, continuous latents.

    ``z_t = A_k z_{t-1} + b_k + noise`` in state k, and ``x_t = C z_t + d + noise``: unlike in an
    :class:`ARHMM`, noise of the measurement is told from that of the animal. Latents and states
    are inferred as if independent of each other (structured mean field): a Gaussian chain given
    the states, and forward-backward given the latents, in turn. Each is exact, so the evidence
    lower bound never falls.

    Parameters
    ----------
    n_states, labels, n_components, stickiness, n_init, max_iterations, tolerance
        See :class:`ARHMM`.
    n_latents
        Number of latents, at most the number of features.
    prior_frames
        Weight of the priors, frames; see :class:`ARHMM`.

    Attributes
    ----------
    weights_, noise_
        ``(state, latent, latent + 1)`` A and b; ``(state, latent, latent)``.
    loading_
        ``(channel, latent + 1)``: C and d.
    observation_noise_
        ``(channel,)`` variance.
    start_, start_noise_
        Mean ``(latent,)`` and covariance ``(latent, latent)`` of a sequence's first latents.
    objectives_
        Lower bound plus log-prior of each iteration, nats.

    References
    ----------
    Ghahramani & Hinton, "Variational learning for switching state-space models", Neural
    Computation 12, 2000, with one chain of latents whose dynamics switch.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y, z = np.repeat([0, 1, 0, 1], 60), np.zeros((240, 2))
    >>> for t in range(1, 240):
    ...     turn = (0.3, -0.3)[y[t]]
    ...     c, s = np.cos(turn), np.sin(turn)
    ...     z[t] = np.array([[c, -s], [s, c]]) @ z[t - 1] * 0.99 + 0.2 * rng.normal(size=2)
    >>> x = z @ rng.normal(size=(2, 5)) + 0.1 * rng.normal(size=(240, 5))
    >>> codes = np.where(np.arange(240) % 60 < 20, y, -1)
    >>> model = SLDS(2, n_latents=2, stickiness=10, max_iterations=20).fit([x], [codes])
    >>> bool(np.mean(model.predict([x])[0] == y) > 0.9)
    True
    """

    n_latents: int = 4
    max_iterations: int = field(default=50, kw_only=True)

    def latents(self, features: Sequence[Any]) -> list[GaussianChain]:
        """Return the posterior of the latents of each sequence."""
        return self._expected(features).rest

    def check_parameters(self) -> None:
        """See that the parameters of the constructor are of use; see :class:`Segmenter`."""
        super().check_parameters()
        if self.n_latents < 1:
            raise ConfigError(f"n_latents: expected at least 1, found {self.n_latents}.")
        if self.n_components is not None:
            self._check_latents(self.n_components)

    def _check_latents(self, most: int) -> None:
        if self.n_latents > most:
            raise ConfigError(f"n_latents: expected 1 to {most}, found {self.n_latents}.")

    def _fit_projection(self, features: list[np.ndarray]) -> list[np.ndarray]:
        self._check_latents(self.n_features_)
        return super()._fit_projection(features)

    # --- expectation ------------------------------------------------------------------------

    def _expect(
        self, x: list[np.ndarray], allowed: list[np.ndarray], before: Expected | None = None
    ) -> Expected:
        if before is not None:
            return self._improved(x, allowed, before.states)
        states = [np.exp(each) for each in allowed]
        states = [each / each.sum(axis=1, keepdims=True) for each in states]
        found = self._improved(x, allowed, states)
        for _ in range(_ROUNDS):
            bound, found = found.bound, self._improved(x, allowed, found.states)
            if found.bound - bound < self.tolerance * sum(map(len, x)):
                break
        return found

    def _improved(
        self, x: list[np.ndarray], allowed: list[np.ndarray], states: list[np.ndarray]
    ) -> Expected:
        """Infer the latents given the states, then the states given the latents."""
        latents = self._smoothed(x, states)
        inverse = np.linalg.inv(self.noise_)
        d = self.n_latents
        away = np.concatenate(
            [-self.weights_, np.broadcast_to(np.eye(d), self.noise_.shape)], axis=2
        )
        cost = (away.swapaxes(1, 2) @ inverse @ away).reshape(self.n_states, -1)
        log_det = np.linalg.slogdet(2 * np.pi * self.noise_)[1]
        densities = []
        for chain, may in zip(latents, allowed, strict=True):
            density = may.copy()
            density[1:] -= 0.5 * (log_det + _squares(chain) @ cost.T)
            densities.append(density)
        found = forward_backward(densities, self.initial_, self.transitions_)
        bound = float(found.log_likelihoods.sum()) + sum(chain.entropy for chain in latents)
        bound += _log_density(_first_moments(latents), *self._first)
        bound += _log_density(_seen_moments(x, latents), *self._seen)
        return Expected(found.states, found.pairs, bound, latents)

    def _smoothed(self, x: list[np.ndarray], states: list[np.ndarray]) -> list[GaussianChain]:
        d, inverse = self.n_latents, np.linalg.inv(self.noise_)
        A, b = self.weights_[:, :, :d], self.weights_[:, :, d:]
        after, across = inverse, inverse @ A
        pieces = [
            after,
            A.swapaxes(1, 2) @ across,
            -across,
            inverse @ b,
            -across.swapaxes(1, 2) @ b,
        ]
        flat = [piece.reshape(self.n_states, -1) for piece in pieces]
        C, offset = self.loading_[:, :d], self.loading_[:, d]
        weighted = C / self.observation_noise_[:, None]
        first = np.linalg.inv(self.start_noise_)
        precision, coupling, vector = [], [], []
        for each, state in zip(x, states, strict=True):
            J = np.broadcast_to(C.T @ weighted, (len(each), d, d)).copy()
            h = (each - offset) @ weighted
            own, before, pair, push, pull = (state[1:] @ piece for piece in flat)
            J[1:] += own.reshape(-1, d, d)
            J[:-1] += before.reshape(-1, d, d)
            h[1:] += push
            h[:-1] += pull
            J[0] += first
            h[0] += first @ self.start_
            precision.append(J)
            coupling.append(pair.reshape(-1, d, d))
            vector.append(h)
        return smooth(precision, coupling, vector)

    # --- maximisation -----------------------------------------------------------------------

    def _start(
        self, x: list[np.ndarray], states: list[np.ndarray], allowed: list[np.ndarray]
    ) -> Expected:
        """Start from principal components as latents, and an autoregressive model of these."""
        frames = np.concatenate(x)
        d, channels = self.n_latents, frames.shape[1]
        pca = PCA(d, whiten=True, svd_solver="full").fit(frames)
        z = [pca.transform(each) for each in x]
        pooled = moments(z, [np.ones((len(each), 1)) for each in z], 1)
        prior = default_prior(pooled, self.prior_frames, 1)
        self.prior_mean_, self.prior_scatter_ = prior.mean, prior.scatter
        self.observation_scatter_ = self.prior_frames * (
            _LEAST_NOISE * np.diag(frames.var(axis=0) + 1e-12)
        )
        for _ in range(_START_ITERATIONS):
            self.weights_, self.noise_ = most_likely(moments(z, states, 1), prior, False)
            densities = [log_densities(each, self.weights_, self.noise_, 1) for each in z]
            densities = [each + may for each, may in zip(densities, allowed, strict=True)]
            found = forward_backward(densities, self.initial_, self.transitions_)
            states = found.states
            self._set_chain(states, found.pairs)
        sure = [
            GaussianChain(each, np.zeros((len(each), d, d)), np.zeros((len(each) - 1, d, d)), 0.0)
            for each in z
        ]
        self.loading_ = np.zeros((channels, d + 1))
        self._set_first_and_seen(x, sure)
        return Expected(states, np.empty(0), -np.inf)

    def _maximise(self, x: list[np.ndarray], found: Expected) -> None:
        d, states = self.n_latents, self.n_states
        frames, square = np.zeros(states), np.zeros((states, (2 * d + 1) ** 2))
        for chain, state in zip(found.rest, found.states, strict=True):
            frames += state[1:].sum(axis=0)
            square += state[1:].T @ _squares(chain)
        whole = square.reshape(states, 2 * d + 1, 2 * d + 1)
        n = d + 1
        sums = Moments(frames, whole[:, :n, :n], whole[:, :n, n:], whole[:, n:, n:])
        self.weights_, self.noise_ = most_likely(sums, self._dynamics, False)
        self._set_first_and_seen(x, found.rest)

    def _set_first_and_seen(self, x: list[np.ndarray], latents: list[GaussianChain]) -> None:
        seen = _seen_moments(x, latents)
        loading, noise = most_likely(seen, self._seen_prior, True)
        self.loading_, self.observation_noise_ = loading[0], np.diagonal(noise[0]).copy()
        start, noise = most_likely(_first_moments(latents), self._first_prior, False)
        self.start_, self.start_noise_ = start[0, :, 0], noise[0]

    def _log_prior(self) -> float:
        found = log_prior(self.weights_, self.noise_, self._dynamics)
        found += log_prior(*self._first, self._first_prior)
        return found + log_prior(*self._seen, self._seen_prior)

    @property
    def _dynamics(self) -> Prior:
        return Prior(self.prior_frames, self.prior_scatter_, self.prior_mean_)

    @property
    def _first_prior(self) -> Prior:
        d = self.n_latents
        return Prior(self.prior_frames, self.prior_frames * np.eye(d), np.zeros((d, 1)))

    @property
    def _seen_prior(self) -> Prior:
        return Prior(self.prior_frames, self.observation_scatter_, np.zeros_like(self.loading_))

    @property
    def _first(self) -> tuple[np.ndarray, np.ndarray]:
        """Weights and noise of the first latents, as a regression with a single state."""
        return self.start_[None, :, None], self.start_noise_[None]

    @property
    def _seen(self) -> tuple[np.ndarray, np.ndarray]:
        """The same of the observations."""
        return self.loading_[None], np.diag(self.observation_noise_)[None]


def _squares(chain: GaussianChain) -> np.ndarray:
    """Return E[u u'] of u = (latents before, 1, latents), ``(time - 1, entries)``."""
    mean, d = chain.mean, chain.mean.shape[1]
    u = np.concatenate([mean[:-1], np.ones((len(mean) - 1, 1)), mean[1:]], axis=1)
    square = u[:, :, None] * u[:, None, :]
    square[:, :d, :d] += chain.covariance[:-1]
    square[:, d + 1 :, d + 1 :] += chain.covariance[1:]
    square[:, d + 1 :, :d] += chain.lagged
    square[:, :d, d + 1 :] += chain.lagged.swapaxes(1, 2)
    return square.reshape(len(u), (2 * d + 1) ** 2)


def _first_moments(latents: list[GaussianChain]) -> Moments:
    """Return what the first frames say, with the constant as only regressor."""
    mean = np.stack([chain.mean[0] for chain in latents])
    square = mean.T @ mean + sum(chain.covariance[0] for chain in latents)
    n = np.array([float(len(latents))])
    return Moments(n, n[:, None, None], mean.sum(axis=0)[None, None], square[None])


def _seen_moments(x: list[np.ndarray], latents: list[GaussianChain]) -> Moments:
    """Return what all frames say of observations, with latents and the constant as regressors."""
    y = np.concatenate(x)
    r = np.concatenate([chain.mean for chain in latents])
    r = np.concatenate([r, np.ones((len(r), 1))], axis=1)
    rr = r.T @ r
    rr[:-1, :-1] += sum(chain.covariance.sum(axis=0) for chain in latents)
    return Moments(np.array([float(len(y))]), rr[None], (r.T @ y)[None], (y.T @ y)[None])


def _log_density(sums: Moments, weights: np.ndarray, noise: np.ndarray) -> float:
    """Return the expected log density of all frames under a regression with a single state."""
    cross = weights[0] @ sums.ry[0]
    residual = sums.yy[0] - cross - cross.T + weights[0] @ sums.rr[0] @ weights[0].T
    log_det = np.linalg.slogdet(2 * np.pi * noise[0])[1]
    trace = np.trace(np.linalg.solve(noise[0], residual))
    return float(-0.5 * (sums.frames[0] * log_det + trace))
