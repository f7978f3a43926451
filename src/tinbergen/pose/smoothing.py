"""Ensemble Kalman smoother: the predictions of several runs become one, with its uncertainty.

Where the members of an ensemble disagree, a frame says little and its neighbours in time decide;
with several views of the same scene, the other views do too. The method is EKS (Biderman et al.,
Nature Methods 2024, section "Ensemble Kalman smoother"), in numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinbergen.errors import DataError
from tinbergen.pose.random_walk import (
    log_likelihood,
    scalar_log_likelihood,
    scalar_smoother,
    smoother,
)
from tinbergen.recordings import Keypoints

_LEAST_VARIANCE = 1e-4  # px^2: members that agree to the last bit are not certain
_LEAST_CONFIDENCE = 1e-6
_FIT_FRAMES = 10_000
_GRID = np.exp(np.linspace(-8, 8, 17))
_VIEW_GRID = np.exp(np.linspace(-5, 3, 9))
_LATENTS = 3  # a pinhole camera far away is linear in the three coordinates of space


@dataclass(frozen=True, eq=False)
class Ensemble:
    """What several runs say together.

    Attributes
    ----------
    median
        ``(time, individual, keypoint, 2)`` px; NaN where no member has a position.
    variance
        The same shape, px^2, between the members; 0 with one member.
    confidence
        ``(time, individual, keypoint)``, mean over the members; 1 where none is known.
    n_members
        How many.
    """

    median: np.ndarray
    variance: np.ndarray
    confidence: np.ndarray
    n_members: int

    def disagreement(self) -> np.ndarray:
        """Return the standard deviation between the members, both coordinates together.

        Returns
        -------
        ``(time, individual, keypoint)`` px.
        """
        return np.sqrt(self.variance.sum(axis=-1))

    def noise(self) -> np.ndarray:
        """Variance of the median as an observation, px^2; infinite where there is none.

        Ensemble variance divided by mean confidence; one member alone has 1 / confidence.
        """
        sure = np.maximum(self.confidence, _LEAST_CONFIDENCE)[..., None]
        spread = self.variance if self.n_members > 1 else np.ones_like(self.variance)
        noise = np.maximum(spread / sure, _LEAST_VARIANCE)
        return np.where(np.isfinite(self.median), noise, np.inf)


@dataclass(frozen=True, eq=False)
class Smoothed:
    """Result of :func:`smooth`.

    Attributes
    ----------
    keypoints
        Smoothed positions and the ensemble's mean confidence.
    variance
        ``(time, individual, keypoint, 2)`` px^2, of the smoothed positions.
    ensemble
        What went in.
    smoothing
        ``(individual, keypoint)``: variance of the walk from frame to frame, px^2 (with views, as
        a multiple of what the views' common movement has).
    """

    keypoints: Keypoints
    variance: np.ndarray
    ensemble: Ensemble
    smoothing: np.ndarray


def look_alikes(keypoints: Keypoints) -> bool:
    """Whether these are finds of look-alikes, in any order in each frame, by their names."""
    n = len(keypoints.individuals)
    return n > 1 and keypoints.individuals == tuple(f"animal{i}" for i in range(n))


def join_members(predictions: Sequence[Keypoints], *, fixed_rows: bool = False) -> Ensemble:
    """Median, variance and mean confidence of several predictions on the same video.

    Parameters
    ----------
    fixed_rows
        Take each row as one animal, whatever it is called.

    Raises
    ------
    DataError
        If there is none, they are not of the same frames and keypoints, or their individuals are
        look-alikes in any order.
    """
    if not predictions:
        raise DataError("Expected the predictions of at least one run, found none.")
    first = predictions[0]
    if look_alikes(first) and not fixed_rows:
        raise DataError(
            f"{', '.join(first.individuals)} are finds of look-alikes, in any order in a frame; a "
            "smoother needs the same animal in a row all along. Link them first: 'tinbergen "
            "pose track'; or name individuals that are told apart otherwise."
        )
    for number, other in enumerate(predictions[1:], start=2):
        same = (first.keypoints, first.individuals) == (other.keypoints, other.individuals)
        if not same or len(first) != len(other):
            raise DataError(
                f"Predictions must be of the same video: number 1 has {len(first)} frames of "
                f"{', '.join(first.keypoints)}, number {number} {len(other)} frames of "
                f"{', '.join(other.keypoints)}."
            )
        if not np.allclose(first.times, other.times):
            raise DataError(f"Predictions 1 and {number} are not on the same frame times.")
    positions = np.stack([each.positions[..., :2] for each in predictions])
    known = np.asarray(np.isfinite(positions).all(axis=-1))
    positions = np.where(known[..., None], positions, np.nan)
    confidences = np.stack([each.confidence for each in predictions])
    some = known.any(axis=0)
    median = np.full(positions.shape[1:], np.nan)
    variance = np.zeros(positions.shape[1:])
    median[some] = np.nanmedian(positions[:, some], axis=0)
    variance[some] = np.nanvar(positions[:, some], axis=0)
    stated = np.isfinite(confidences)
    total = np.where(stated, confidences, 0).sum(axis=0)
    n_stated = stated.sum(axis=0)
    confidence = np.where(n_stated > 0, total / np.maximum(n_stated, 1), 1.0)
    return Ensemble(median, variance, confidence, len(predictions))


def smooth(
    predictions: Sequence[Keypoints],
    *,
    views: Sequence[Sequence[str]] | None = None,
    smoothing: float | None = None,
) -> Smoothed:
    """Smooth the predictions of an ensemble on one video.

    Each coordinate is a random walk whose step is fitted, keypoint by keypoint, by maximum
    likelihood; an observation is the members' median, and its noise is their variance over their
    mean confidence. With ``views`` the walk is of three latent coordinates, from which the
    positions in all views follow linearly (their principal components on the half of the frames
    that are most certain).

    Parameters
    ----------
    predictions
        Of the members, on the same video; 3 to 5 are advised, one will do.
    views
        Lists of keypoints that are the same part in several views (mirrors, or cameras laid side
        by side), such as ``[["paw_top", "paw_bottom"]]``; the other keypoints are smoothed by
        themselves.
    smoothing
        Instead of fitting: the walk's variance per frame, px^2 (with views, as a multiple of that
        of the views' common movement). Smaller is smoother.

    Raises
    ------
    DataError
        If the predictions do not belong together, or a view names an unknown keypoint.
    """
    ensemble = join_members(predictions)
    first = predictions[0]
    _refuse_unknown(first, views or ())
    mean, variance = np.empty_like(ensemble.median), np.empty_like(ensemble.median)
    fitted = np.full(mean.shape[1:3], np.nan)
    noise, steps = ensemble.noise(), _steps(first.times)
    in_views = {name for part in views or () for name in part}
    alone = [i for i, name in enumerate(first.keypoints) if name not in in_views]
    for who in range(len(first.individuals)):
        y, r = ensemble.median[:, who], noise[:, who]
        if alone:
            m, v, s = _smooth_alone(y[:, alone], r[:, alone], steps, smoothing)
            mean[:, who, alone], variance[:, who, alone], fitted[who, alone] = m, v, s
        for n_views in sorted({len(part) for part in views or ()}):
            parts = [part for part in views or () if len(part) == n_views]
            at = np.array([[first.keypoints.index(name) for name in part] for part in parts])
            m, v, s = _smooth_views(y[:, at], r[:, at], steps, smoothing)
            mean[:, who, at], variance[:, who, at], fitted[who, at] = m, v, s[:, None]
    lost = ~np.isfinite(ensemble.median).any(axis=(0, 3))
    mean[:, lost] = np.nan
    keypoints = replace(first, positions=mean, confidence=ensemble.confidence)
    return Smoothed(keypoints, variance, ensemble, fitted)


def _refuse_unknown(keypoints: Keypoints, views: Sequence[Sequence[str]]) -> None:
    seen: set[str] = set()
    for part in views:
        for name in part:
            if name not in keypoints.keypoints or name in seen:
                why = "stands twice in" if name in seen else "is no keypoint but stands in"
                raise DataError(
                    f"{name!r} {why} the views; keypoints: {', '.join(keypoints.keypoints)}."
                )
            seen.add(name)
        if len(part) < 2:
            raise DataError(f"Expected at least two views of a part, found {list(part)}.")


def _steps(times: np.ndarray) -> np.ndarray:
    """Time from each frame to the next as a multiple of the usual one."""
    steps = np.diff(times)
    usual = np.median(steps) if len(steps) else 1.0
    return steps / (usual or 1.0)


def _centred(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Observations without their mean (0 where there is none), and the mean."""
    known = np.isfinite(y)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, y, 0).sum(axis=0) / count
    return np.where(known, y - mean, 0.0), mean


def _stretch(n: int) -> slice:
    """Return the frames in the middle that smoothing is fitted on."""
    first = max(0, (n - _FIT_FRAMES) // 2)
    return slice(first, first + _FIT_FRAMES)


def _smooth_alone(
    y: np.ndarray, r: np.ndarray, steps: np.ndarray, smoothing: float | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Smooth keypoints ``(time, keypoint, 2)``, both coordinates with the same step."""
    centred, mean = _centred(y)
    known = np.isfinite(r)
    start = np.maximum((centred**2).sum(0) / np.maximum(known.sum(0), 1), 1.0)
    if smoothing is None:
        part = _stretch(len(y))
        inner = slice(part.start, max(part.start, min(part.stop, len(y)) - 1))

        def likelihood(s: np.ndarray) -> np.ndarray:  # (grid, keypoint) -> the same
            q = s[..., None]
            pieces = scalar_log_likelihood(centred[part], r[part], q, steps[inner], start)
            return pieces.sum(axis=-1)

        chosen = _best(likelihood, y.shape[1], _GRID)
    else:
        chosen = np.full(y.shape[1], float(smoothing))
    walk = scalar_smoother(centred, r, chosen[:, None], steps, start)
    return walk.mean + mean, walk.variance, chosen


def _smooth_views(
    y: np.ndarray, r: np.ndarray, steps: np.ndarray, smoothing: float | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Smooth parts in several views ``(time, part, view, 2)``, each through three latents."""
    n, n_parts = y.shape[:2]
    flat, noise = y.reshape(n, n_parts, -1), r.reshape(n, n_parts, -1)
    spaces = [_common_space(flat[:, part], noise[:, part]) for part in range(n_parts)]
    mean, loading, q, start = (np.stack(each) for each in zip(*spaces, strict=True))
    observed = np.where(np.isfinite(flat), flat - mean, 0.0)
    chosen = np.full(n_parts, smoothing, dtype=float)
    if smoothing is None:
        part = _stretch(n)
        inner = slice(part.start, max(part.start, min(part.stop, n) - 1))

        def likelihood(s: np.ndarray) -> np.ndarray:  # (grid, part) -> the same
            scaled = s[..., None, None] * q
            return log_likelihood(
                observed[part], noise[part], loading, scaled, steps[inner], start
            )

        chosen = _best(likelihood, n_parts, _VIEW_GRID)
    walk = smoother(observed, noise, loading, chosen[:, None, None] * q, steps, start)
    smoothed = np.einsum("pod,tpd->tpo", loading, walk.mean) + mean
    spread = np.einsum("pod,tpde,poe->tpo", loading, walk.covariance, loading, optimize=True)
    return smoothed.reshape(y.shape), spread.reshape(y.shape), chosen


def _common_space(flat: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, ...]:
    """Find what the views ``(time, 2 * view)`` of one part have in common.

    Returns
    -------
    mean, loading, q, start
        ``(o,)``, ``(o, 3)``, and of the latents the covariances of their steps and of themselves.
    """
    whole = np.isfinite(flat).all(axis=1)
    if whole.sum() < 2 * _LATENTS:
        raise DataError(
            f"Only {int(whole.sum())} frames have a position in every view; the views' common "
            "movement cannot be learned from them. Smooth without views."
        )
    total = np.where(whole, noise.sum(axis=1), np.inf)
    certain = total <= np.median(total[whole])
    mean = flat[certain].mean(axis=0)
    _, _, axes = np.linalg.svd(flat[certain] - mean, full_matrices=False)
    loading = axes[:_LATENTS].T
    latents = (flat[whole] - mean) @ loading
    moves = np.diff(latents, axis=0)
    return mean, loading, moves.T @ moves / len(moves), np.cov(latents.T) + np.eye(_LATENTS)


def _best(likelihood: Callable[[np.ndarray], np.ndarray], n: int, grid: np.ndarray) -> np.ndarray:
    """Maximise over a grid, then between its points by the vertex of a parabola in log s."""
    values = likelihood(np.repeat(grid[:, None], n, axis=1))
    best = np.clip(values.argmax(axis=0), 1, len(grid) - 2)
    each = np.arange(n)
    low, mid, high = (values[best + k, each] for k in (-1, 0, 1))
    bend = low - 2 * mid + high
    width = np.log(grid[1] / grid[0])
    shift = np.divide(0.5 * (low - high), bend, out=np.zeros(n), where=bend < 0)
    return grid[best] * np.exp(np.clip(shift, -1, 1) * width)
