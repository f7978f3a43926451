"""Which lags a model looks at, and smooth functions that stand for many of them."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from tinbergen.errors import ConfigError


def lag_range(lags: Any) -> tuple[int, int]:
    """Return ``(first, last)`` as whole bins.

    Raises
    ------
    ConfigError
        If they are no two ascending whole numbers.
    """
    try:
        first, last = (int(lag) for lag in lags)
        whole = (first, last) == tuple(lags)
    except (TypeError, ValueError):
        first, last, whole = 0, 0, False
    if not whole or first > last:
        raise ConfigError(f"lags: expected (first, last) in whole bins, found {lags!r}.")
    return first, last


def raised_cosine_basis(
    lags: tuple[int, int], n: int, spacing: Literal["linear", "log"] = "linear"
) -> np.ndarray:
    """Smooth bumps over lags that overlap by half: few weights for many lags.

    Parameters
    ----------
    lags
        First and last lag, bins.
    n
        Number of functions.
    spacing
        Of their centres. ``log``: narrow at the first lag, wide at the last, for effects that
        fade; the first lag must then not be negative.

    Returns
    -------
    ndarray
        ``(lag, n)``; the functions of one lag sum to 1.

    References
    ----------
    Pillow et al., "Spatio-temporal correlations and visual signalling in a complete neuronal
    population", Nature 2008, methods.

    Examples
    --------
    >>> raised_cosine_basis((0, 2), 2).round(2).tolist()
    [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]
    """
    first, last = lag_range(lags)
    if not 1 <= n <= last - first + 1:
        raise ConfigError(f"basis: expected 1 to {last - first + 1} functions, found {n}.")
    at = np.arange(first, last + 1, dtype=np.float64)
    if spacing == "log":
        if first < 0:
            raise ConfigError(f"A basis with log spacing needs lags from 0 on, found {first}.")
        at = np.log1p(at - first)
    if n == 1:
        return np.ones((len(at), 1))
    centres = np.linspace(at[0], at[-1], n)
    step = centres[1] - centres[0]
    return 0.5 * (1 + np.cos(np.pi * np.clip((at[:, None] - centres) / step, -1, 1)))


def lag_basis(basis: int | ArrayLike | None, lags: tuple[int, int]) -> np.ndarray | None:
    """Return ``(lag, function)`` from a number of raised cosines, or an array of that shape.

    Raises
    ------
    ConfigError
        If the array has not a row for each lag.
    """
    if basis is None:
        return None
    if isinstance(basis, int | np.integer):
        return raised_cosine_basis(lags, int(basis))
    functions = np.asarray(basis, dtype=np.float64)
    if functions.ndim != 2 or len(functions) != lags[1] - lags[0] + 1:
        raise ConfigError(
            f"basis: expected a row for each of {lags[1] - lags[0] + 1} lags, found shape "
            f"{functions.shape}."
        )
    return functions
