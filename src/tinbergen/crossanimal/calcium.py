"""How a calcium indicator answers to activity, for regressors and simulated data."""

from __future__ import annotations

import numpy as np
from scipy.signal import fftconvolve

RISE, DECAY = 7.4, 0.3  # 1/s


def response_kernel(fps: float, duration: float = 15.0) -> np.ndarray:
    """Return the response to a brief event, ``(time,)``, causal and of sum 1.

    ``exp(-0.3 t) - exp(-7.4 t)`` with t in s, as Braun et al. (eLife 81527) measured it in axons
    of descending neurons of flies; its peak is at 0.45 s.

    Examples
    --------
    >>> int(response_kernel(100.0).argmax())
    45
    """
    t = np.arange(round(duration * fps)) / fps
    kernel = np.exp(-DECAY * t) - np.exp(-RISE * t)
    return kernel / kernel.sum()


def convolved(values: np.ndarray, fps: float, duration: float = 15.0) -> np.ndarray:
    """Return ``(time, column)`` as an indicator would show it; before the start, the first value.

    Each frame depends on itself and earlier ones alone; call it trial by trial.
    """
    values = np.asarray(values, float)
    kernel = response_kernel(fps, duration)
    padded = np.concatenate([np.repeat(values[:1], len(kernel) - 1, axis=0), values])
    return fftconvolve(padded, kernel[:, None], mode="valid", axes=0)
