"""Linear probes: what can be read from frozen features, with nulls on the same folds."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tinbergen.metrics.ridge import ALPHAS, ridge_path, standardise


@dataclass(frozen=True)
class KeypointProbe:
    """Out-of-fold errors of a linear read-out of keypoints.

    Attributes
    ----------
    errors
        ``(frame, keypoint)`` px; NaN where not labelled or not tested.
    fold_means
        ``(fold,)`` px: mean error of each fold.
    """

    errors: np.ndarray
    fold_means: np.ndarray

    @property
    def mean(self) -> float:
        """Mean over folds, px."""
        return float(np.nanmean(self.fold_means))


def keypoint_probe(
    features: ArrayLike | None, positions: ArrayLike, folds: list[np.ndarray]
) -> KeypointProbe:
    """Ridge from features to keypoint positions, cross-validated.

    Each fold is predicted from the others; the next fold chooses the penalty and is not fitted
    to. Missing labels are filled by the training mean for fitting and left out of the error.

    Parameters
    ----------
    features
        ``(frame, ...)``; None gives the null: the mean pose of the training frames.
    positions
        ``(frame, keypoint, 2)`` px, NaN where not labelled.
    folds
        At least 3, from :func:`~tinbergen.metrics.folds.grouped_folds`.

    Raises
    ------
    ValueError
        For fewer than three folds.
    """
    y = np.asarray(positions, dtype=np.float64)
    if len(folds) < 3:
        raise ValueError(f"the keypoint probe needs at least 3 folds, got {len(folds)}")
    everything = np.concatenate(folds)
    errors = np.full(y.shape[:2], np.nan)
    for i, test in enumerate(folds):
        validation = folds[(i + 1) % len(folds)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a keypoint that is never labelled
            if features is None:
                train = np.setdiff1d(everything, test)
                errors[test] = np.linalg.norm(np.nanmean(y[train], axis=0) - y[test], axis=2)
                continue
            train = np.setdiff1d(everything, np.r_[test, validation])
            mean = np.nan_to_num(np.nanmean(y[train], axis=0))
        target = (np.where(np.isnan(y), mean, y) - mean).reshape(len(y), -1)
        paths = ridge_path(standardise(features, train), train, target, ALPHAS)
        distance = np.linalg.norm(paths.reshape(len(ALPHAS), *y.shape) + mean - y, axis=3)
        best = int(np.argmin([np.nanmean(d[validation]) for d in distance]))
        errors[test] = distance[best][test]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        fold_means = np.array([np.nanmean(errors[test]) for test in folds])
    return KeypointProbe(errors, fold_means)


@dataclass(frozen=True)
class ClassProbe:
    """Out-of-fold answers of a linear classifier; ``correct`` is ``(frame,)``, NaN if untested."""

    correct: np.ndarray
    balanced_accuracy: float
    chance: float


def class_probe(features: ArrayLike, labels: ArrayLike, folds: list[np.ndarray]) -> ClassProbe:
    """Multinomial logistic regression, cross-validated; classes count alike.

    Parameters
    ----------
    features
        ``(frame, channel)``, z-scored here by the training frames.
    labels
        ``(frame,)`` classes.
    folds
        From :func:`~tinbergen.metrics.folds.grouped_folds`.
    """
    from sklearn.linear_model import LogisticRegression

    x = np.asarray(features, dtype=np.float64)
    x = x.reshape(len(x), -1)
    y = np.asarray(labels)
    everything = np.concatenate(folds)
    correct = np.full(len(y), np.nan)
    for test in folds:
        train = np.setdiff1d(everything, test)
        if len(np.unique(y[train])) < 2:
            continue
        z = (x - x[train].mean(axis=0)) / (x[train].std(axis=0) + 1e-9)
        model = LogisticRegression(max_iter=1000, class_weight="balanced")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # not converged is good enough for a probe
            model.fit(z[train], y[train])
        correct[test] = model.predict(z[test]) == y[test]
    recalls = [
        np.nanmean(correct[y == c]) for c in np.unique(y) if np.isfinite(correct[y == c]).any()
    ]
    balanced = float(np.mean(recalls)) if recalls else float("nan")
    return ClassProbe(correct, balanced, 1 / max(len(np.unique(y)), 1))


def time_lag_probe(
    features: ArrayLike, times: ArrayLike, recordings: ArrayLike, lags: ArrayLike, *, seed: int = 0
) -> np.ndarray:
    """How much nearer features are at a lag than at random times of the same recording.

    For every lag: the share of (frame, frame + lag) pairs that lie closer, in z-scored features,
    than the frame and a random frame of its recording. 0.5 is chance; a slow, smooth
    representation starts near 1 and falls to 0.5 as the behaviour forgets itself.

    Parameters
    ----------
    features
        ``(frame, channel)``.
    times
        ``(frame,)`` s.
    recordings
        ``(frame,)`` labels.
    lags
        ``(lag,)`` s; a partner must lie within half the median frame interval of its lag.

    Returns
    -------
    ndarray
        ``(lag,)`` shares; NaN where no recording holds such a pair.
    """
    wins = time_lag_wins(features, times, recordings, lags, seed=seed)
    return np.array([np.mean(won) if len(won) else np.nan for won, _ in wins])


def time_lag_wins(
    features: ArrayLike, times: ArrayLike, recordings: ArrayLike, lags: ArrayLike, *, seed: int = 0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return what :func:`time_lag_probe` averages, to see how it differs between recordings.

    Returns
    -------
    list
        For each lag ``(pair,)`` 1 where the partner lies closer than the random frame, 0.5 in a
        tie, else 0; and ``(pair,)`` the recording of each.
    """
    x = np.asarray(features, dtype=np.float64)
    x = (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-9)
    t, owner = np.asarray(times, dtype=np.float64), np.asarray(recordings)
    rng = np.random.default_rng(seed)
    wins: list[list[np.ndarray]] = [[np.zeros(0)] for _ in np.asarray(lags)]
    owners: list[list[np.ndarray]] = [[owner[:0]] for _ in np.asarray(lags)]
    for recording in np.unique(owner):
        rows = np.flatnonzero(owner == recording)
        rows = rows[np.argsort(t[rows])]
        if len(rows) < 3:
            continue
        tolerance = 0.5 * np.median(np.diff(t[rows])) + 1e-9
        for won, of, lag in zip(wins, owners, np.asarray(lags), strict=True):
            partner = np.searchsorted(t[rows], t[rows] + lag - tolerance)
            inside = partner < len(rows)
            inside[inside] = np.abs(t[rows[partner[inside]]] - t[rows][inside] - lag) <= tolerance
            a, b = rows[inside], rows[partner[inside]]
            other = rng.choice(rows, size=len(a))
            near = np.linalg.norm(x[a] - x[b], axis=1)
            far = np.linalg.norm(x[a] - x[other], axis=1)
            keep = other != a
            won.append((near < far)[keep] + 0.5 * (near == far)[keep])
            of.append(owner[a][keep])
    return [(np.concatenate(w), np.concatenate(o)) for w, o in zip(wins, owners, strict=True)]
