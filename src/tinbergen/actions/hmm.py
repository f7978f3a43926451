"""Gaussian hidden Markov model: in each state, frames are drawn around the same mean."""

from __future__ import annotations

import numpy as np

from tinbergen.actions.arhmm import ARHMM, Covariance
from tinbergen.actions.state_segmenter import Labels


class HMM(ARHMM):
    """Behaviour as a chain of states, each a cloud of frames: :class:`ARHMM` with no lags.

    Parameters as of :class:`ARHMM`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1, 0], 50)
    >>> x = y[:, None] * [3.0, 0.0] + rng.normal(size=(150, 2))
    >>> codes = np.where(np.arange(150) % 75 < 5, y, -1)
    >>> model = HMM(2).fit([x], [codes])
    >>> bool(np.mean(model.predict([x])[0] == y) > 0.95)
    True
    """

    def __init__(
        self,
        n_states: int = 16,
        covariance: Covariance = "diagonal",
        labels: Labels = "clamp",
        n_components: int | None = None,
        stickiness: float = 0.0,
        prior_frames: float = 1.0,
        n_init: int = 1,
        max_iterations: int = 100,
        tolerance: float = 1e-3,
        random_state: int = 0,
    ):
        super().__init__(
            n_states=n_states,
            lags=0,
            covariance=covariance,
            labels=labels,
            n_components=n_components,
            stickiness=stickiness,
            prior_frames=prior_frames,
            n_init=n_init,
            max_iterations=max_iterations,
            tolerance=tolerance,
            random_state=random_state,
        )

    @property
    def means_(self) -> np.ndarray:
        """``(state, channel)``, of the scaled features."""
        return self.weights_[:, :, 0]
