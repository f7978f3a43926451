"""What tracked points say of one animal: where it is, how it moves, how it is bent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinbergen.errors import DataError

_SMALL = 1e-6  # px: directions of shorter vectors mean nothing


def interpolated(positions: np.ndarray, longest: int | None = None) -> np.ndarray:
    """Return positions with gaps filled along straight lines; edges keep the nearest known one.

    Parameters
    ----------
    positions
        ``(time, ...)``, NaN = missing; one recording.
    longest
        Frames: longer gaps stay NaN; None fills all. A path without any known value stays NaN.

    Examples
    --------
    >>> interpolated(np.array([np.nan, 1.0, np.nan, 3.0])).tolist()
    [1.0, 1.0, 2.0, 3.0]
    """
    flat = np.array(positions, dtype=np.float64).reshape(len(positions), -1)
    frames = np.arange(len(flat))
    for path in flat.T:
        known = np.isfinite(path)
        if known.all() or not known.any():
            continue
        filled = np.interp(frames, frames[known], path[known])
        if longest is not None:
            filled[_in_long_gap(known, longest)] = np.nan
        path[:] = filled
    return flat.reshape(np.shape(positions))


def velocity(values: np.ndarray) -> np.ndarray:
    """Return the change from the frame before; 0 in the first, NaN where either is.

    Examples
    --------
    >>> velocity(np.array([1.0, 4.0, 2.0])).tolist()
    [0.0, 3.0, -2.0]
    """
    return np.diff(values, axis=0, prepend=values[:1])


def motion_energy(values: np.ndarray) -> np.ndarray:
    """Return the absolute change from the frame before.

    Examples
    --------
    >>> motion_energy(np.array([1.0, 4.0, 2.0])).tolist()
    [0.0, 3.0, 2.0]
    """
    return np.abs(velocity(values))


def speed(positions: np.ndarray) -> np.ndarray:
    """Return the length of the step from the frame before, ``(time, ...)`` of ``(..., space)``."""
    return np.linalg.norm(velocity(positions), axis=-1)


def direction(tail: np.ndarray, head: np.ndarray) -> np.ndarray:
    """Return the unit vector from ``tail`` to ``head``, ``(time, space)``; short ones shrink to 0.

    Both are ``(time, space)``, px.
    """
    vector = head - tail
    return vector / (np.linalg.norm(vector, axis=-1, keepdims=True) + _SMALL)


def ego_aligned(positions: np.ndarray, origin: int, front: int) -> np.ndarray:
    """Return positions as seen from the animal: ``origin`` at 0, ``front`` straight ahead.

    Parameters
    ----------
    positions
        ``(time, keypoint, 2)`` px; a third coordinate (height) is moved but not turned.
    origin, front
        Which keypoints; the animal looks from the one to the other.

    Returns
    -------
    ``(time, keypoint, space)``: x ahead, y to the left of it if the image's y points down.
    """
    moved = positions - positions[:, origin : origin + 1]
    ahead = direction(np.zeros_like(moved[:, front, :2]), moved[:, front, :2])
    aside = np.stack([ahead[:, 1], -ahead[:, 0]], axis=1)
    turned = np.einsum("tkx,tdx->tkd", moved[..., :2], np.stack([ahead, aside], axis=1))
    return np.concatenate([turned, moved[..., 2:]], axis=2)


def pairwise_distances(positions: np.ndarray) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Return the distance of each pair of keypoints, ``(time, pair)`` px, and the pairs.

    ``positions`` is ``(time, keypoint, space)``.
    """
    n = positions.shape[1]
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    first, second = np.array(pairs, dtype=int).reshape(-1, 2).T
    return np.linalg.norm(positions[:, first] - positions[:, second], axis=-1), pairs


def angles(positions: np.ndarray, chain: Sequence[int]) -> np.ndarray:
    """Return how far the body bends at each inner point of a chain, ``(time, point)`` radians.

    0 = straight; positive = clockwise in an image whose y points down.

    Parameters
    ----------
    positions
        ``(time, keypoint, 2)``.
    chain
        Keypoints from one end to the other, three at least.
    """
    if len(chain) < 3:
        raise DataError(f"An angle needs three keypoints in a row, found {len(chain)}.")
    steps = np.diff(positions[:, list(chain), :2], axis=1)
    before, after = steps[:, :-1], steps[:, 1:]
    cross = before[..., 0] * after[..., 1] - before[..., 1] * after[..., 0]
    return np.arctan2(cross, (before * after).sum(axis=-1))


def turning(heading: np.ndarray) -> np.ndarray:
    """Return the change of a direction from the frame before, ``(time,)`` radians, 0 first.

    ``heading`` is ``(time, 2)``.
    """
    before = np.concatenate([heading[:1], heading[:-1]])
    cross = before[:, 0] * heading[:, 1] - before[:, 1] * heading[:, 0]
    return np.arctan2(cross, (before * heading).sum(axis=1))


def window_statistics(values: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation over a centred window, ``(time, channel)`` each.

    Only known frames inside the recording count; NaN where there is none.

    Parameters
    ----------
    values
        ``(time, channel)``, NaN = not known.
    window
        Frames, odd.
    """
    if window < 1 or window % 2 == 0:
        raise DataError(f"window: expected an odd number of frames, found {window}.")
    known = np.isfinite(values)
    # Squares of values far from 0 would drown their deviations.
    centre = np.where(known, values, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    clean = np.where(known, values - centre, 0.0)
    n, total, squares = (_window_sum(each, window) for each in (known, clean, clean**2))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / n
        variance = np.maximum(squares / n - mean**2, 0.0)
    return mean + centre, np.sqrt(variance)


def _window_sum(values: np.ndarray, window: int) -> np.ndarray:
    n, half = len(values), window // 2
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0, dtype=float)])
    frames = np.arange(n)
    return sums[np.minimum(frames + half + 1, n)] - sums[np.maximum(frames - half, 0)]


def _in_long_gap(known: np.ndarray, longest: int) -> np.ndarray:
    edges = np.flatnonzero(np.diff(known, prepend=not known[0], append=not known[-1]))
    long = np.zeros(len(known), dtype=bool)
    for first, last in zip(edges[:-1], edges[1:], strict=True):
        if not known[first] and last - first > longest:
            long[first:last] = True
    return long
