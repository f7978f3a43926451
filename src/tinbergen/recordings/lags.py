"""The frames around each frame as columns, for models that know no time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def lagged(x: np.ndarray, lags: Sequence[int]) -> np.ndarray:
    """Return ``(time, lag * channel)``: each frame with those ``lags`` later (negative: earlier).

    Beyond the ends of the recording its first and last frame are repeated; nothing comes from
    another one.

    Examples
    --------
    >>> lagged(np.array([[1.0], [2.0], [3.0]]), (-1, 0, 2)).tolist()
    [[1.0, 1.0, 3.0], [1.0, 2.0, 3.0], [2.0, 3.0, 3.0]]
    """
    rows = np.arange(len(x))[:, None] + np.asarray(lags)
    return x[rows.clip(0, len(x) - 1)].reshape(len(x), -1)


def window_lags(reach: int, number: int) -> tuple[int, ...]:
    """Return up to ``2 * number + 1`` lags from ``-reach`` to ``reach``, denser around 0.

    Examples
    --------
    >>> window_lags(40, 3)
    (-40, -11, -2, 0, 2, 11, 40)
    """
    ahead = np.unique(np.rint(np.geomspace(1, reach + 1, number + 1) - 1).astype(int))[1:]
    return tuple(int(lag) for lag in (*-ahead[::-1], 0, *ahead))
