"""Gaussian hidden Markov model: in each state, frames are drawn around the same mean."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tinbergen.actions.arhmm import ARHMM, Covariance


@dataclass(eq=False, repr=False)
class HMM(ARHMM):
    """Behaviour as a chain of states, each a cloud of frames: :class:`ARHMM` with no lags.

    Parameters as of :class:`ARHMM`, but ``lags``.

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

    lags: int = field(default=0, init=False)
    covariance: Covariance = "diagonal"

    @property
    def means_(self) -> np.ndarray:
        """``(state, channel)``, of the scaled features."""
        return self.weights_[:, :, 0]
