"""Autoregressive hidden Markov model: in each state, frames follow from those before them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tinbergen.actions.regression import (
    Moments,
    Prior,
    default_prior,
    emphasis,
    log_densities,
    log_prior,
    moments,
    most_likely,
)
from tinbergen.actions.segmenter import check_channels, checked_sequences
from tinbergen.actions.state_segmenter import Expected, StateSegmenter
from tinbergen.errors import ConfigError
from tinbergen.statespace.chains import forward_backward, viterbi

Covariance = Literal["full", "diagonal"]


class _Fitted(StateSegmenter):
    """Fitted attributes, which are no parameters."""

    weights_: np.ndarray
    noise_: np.ndarray
    prior_mean_: np.ndarray
    prior_scatter_: np.ndarray


@dataclass(eq=False, repr=False)
class ARHMM(_Fitted):
    """Behaviour as a chain of states, each with linear dynamics of its own.

    ``x_t = A_k [x_{t-1}, ..., x_{t-lags}] + b_k + noise`` in state k, the noise Gaussian. Fitted
    by expectation maximisation with exact forward-backward passes. With ``stickiness`` it is the
    model of Wiltschko et al. 2015 for the behaviour of a mouse; for key points, features should
    then be aligned to the animal, and reduced by ``n_components``.

    Parameters
    ----------
    n_states
        With labels that clamp, states are dealt to the classes in turn, so that each has
        ``n_states / n_classes`` of them.
    lags
        Frames that a frame depends on; the first ``lags`` of a sequence say nothing of states.
    covariance
        Of the noise: ``"full"``, or ``"diagonal"``.
    freedom
        Degrees of freedom of the noise, Student's t: the fewer, the less a jump of the tracker
        counts; None = Gaussian.
    labels
        ``"clamp"``: a labelled frame can only be in a state of its class, the others are free
        (semi-supervised); ``"one to one"``: states are found without labels and then stand for one
        class each; ``"majority"``: the same, and several may stand for one class.
    n_components
        Principal components that the scaled features are reduced to; None = as they are.
    stickiness
        Transitions to itself that each state is credited with beforehand.
    prior_frames
        Weight of the prior of each state's dynamics, frames: without data, frames are as those
        before them, with the noise that a single state would have.
    n_init
        Runs from different guesses; the most probable is kept.
    max_iterations, tolerance
        It ends when an iteration gains less than ``tolerance`` nats a frame.

    Attributes
    ----------
    weights_
        ``(state, channel, lags * channel + 1)``: dynamics, nearest frame first, and the offset.
    noise_
        ``(state, channel, channel)`` covariance (with ``freedom`` the scale of the t).

    References
    ----------
    Wiltschko et al., "Mapping sub-second structure in mouse behavior", Neuron 88, 2015. EM of t:
    Liu & Rubin, "ML estimation of the t distribution using EM", Statistica Sinica 5, 1995.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1, 0, 1], 100)
    >>> x = [np.zeros((400, 1))]
    >>> for t in range(1, 400):
    ...     x[0][t] = (0.9, -0.9)[y[t]] * x[0][t - 1] + 0.1 * rng.normal()
    >>> model = ARHMM(2, labels="majority", stickiness=10).fit(x, [y])
    >>> bool(np.mean(model.predict(x)[0] == y) > 0.9)
    True
    """

    lags: int = 1
    covariance: Covariance = "full"
    freedom: float | None = None

    def most_probable_states(self, features: Sequence[Any]) -> list[np.ndarray]:
        """Return the most probable path of states (Viterbi), ``(time,)`` int of each sequence."""
        self._check_fitted()
        x = checked_sequences(features)[0]
        check_channels(x, self.n_features_)
        densities = [self._densities(each) for each in self._projected(x)]
        return viterbi(densities, self.initial_, self.transitions_)[0]

    def check_parameters(self) -> None:
        """See that the parameters of the constructor are of use; see :class:`Segmenter`."""
        super().check_parameters()
        if self.lags < 0:
            raise ConfigError(f"lags: expected a number of frames >= 0, found {self.lags}.")
        if self.covariance not in ("full", "diagonal"):
            raise ConfigError(
                f"covariance: expected 'full' or 'diagonal', found {self.covariance!r}."
            )
        if self.freedom is not None and not 0 < self.freedom < float("inf"):
            raise ConfigError(
                f"freedom: expected a number above 0, or None for Gaussian noise, found "
                f"{self.freedom}."
            )

    def _densities(self, x: np.ndarray) -> np.ndarray:
        return log_densities(x, self.weights_, self.noise_, self.lags, self.freedom)

    def _start(
        self, x: list[np.ndarray], states: list[np.ndarray], allowed: list[np.ndarray]
    ) -> None:
        pooled = moments(x, [np.ones((len(each), 1)) for each in x], self.lags)
        prior = default_prior(pooled, self.prior_frames, self.lags)
        self.prior_mean_, self.prior_scatter_ = prior.mean, prior.scatter
        self._regress(moments(x, states, self.lags))

    @property
    def _prior(self) -> Prior:
        return Prior(self.prior_frames, self.prior_scatter_, self.prior_mean_)

    def _expect(
        self, x: list[np.ndarray], allowed: list[np.ndarray], before: Expected | None = None
    ) -> Expected:
        densities = [self._densities(each) + may for each, may in zip(x, allowed, strict=True)]
        found = forward_backward(densities, self.initial_, self.transitions_)
        return Expected(found.states, found.pairs, float(found.log_likelihoods.sum()))

    def _maximise(self, x: list[np.ndarray], found: Expected) -> None:
        counts = None
        if self.freedom is not None:
            fit = (self.weights_, self.noise_, self.lags, self.freedom)
            counts = [emphasis(each, *fit) for each in x]
        self._regress(moments(x, found.states, self.lags, counts))

    def _regress(self, sums: Moments) -> None:
        diagonal = self.covariance == "diagonal"
        self.weights_, self.noise_ = most_likely(sums, self._prior, diagonal)

    def _log_prior(self) -> float:
        return log_prior(self.weights_, self.noise_, self._prior)
