"""Fit the linear paths between behaviour and factors to the training windows of a session.

Ridge and logistic regression whose penalty is what predicts the validation windows best; where
nothing predicts them better than the mean, nothing is fitted.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from tinbergen.population.batch import Batch
from tinbergen.population.behaviour_path import BehaviourPath, in_parts, lagged
from tinbergen.population.masks import nothing_hidden

_RIDGE = tuple(10.0**k for k in range(0, 7))
_INVERSE_PENALTIES = tuple(10.0 ** (k / 2) for k in range(-9, 1))
_MOST_ROWS = 20_000


def fit_behaviour(
    path: BehaviourPath,
    number: int,
    batches: Sequence[Batch],
    factors_of: Callable[[Batch, Tensor], Tensor],
) -> None:
    """Fill in the tables of one session.

    Parameters
    ----------
    number
        Of the session.
    batches
        Its training windows, and its validation windows if there are any.
    factors_of
        ``(batch, expected) -> factors``: what all spikes of a batch make of the factors, given
        what they are expected to be.
    """
    train = batches[0]
    for name, modality in path.modalities.items():
        if modality.kind == "categorical":
            rates = torch.nn.functional.one_hot(
                train.values[name][train.there[name]], path.get_buffer(f"centre_{name}").shape[1]
            ).float()
            if len(rates):
                path.get_buffer(f"centre_{name}")[number] = rates.mean(dim=0)
    nothing = [torch.zeros(b.n_samples, b.n_bins, path.mean.shape[2]) for b in batches]
    plain = [factors_of(batch, zero) for batch, zero in zip(batches, nothing, strict=True)]
    _fit_expected(path, number, batches, plain)
    # To be decoded, a behaviour is hidden, as the others may be.
    mean = path.mean[number]
    factors = [
        factors_of(batch, mean.expand_as(zero))
        for batch, zero in zip(batches, nothing, strict=True)
    ]
    for name, modality in path.modalities.items():
        if modality.kind != "counts":
            _fit_read(path, number, name, batches, factors)


def _fit_expected(
    path: BehaviourPath, number: int, batches: Sequence[Batch], factors: Sequence[Tensor]
) -> None:
    """Regress factors on time in the window and all behaviours at once."""
    time, rank = path.mean.shape[1:]
    columns: list[list[Tensor]] = [[] for _ in batches]
    for batch, mine in zip(batches, columns, strict=True):
        hidden = nothing_hidden(batch)
        at_time = torch.eye(time).expand(batch.n_samples, -1, -1)
        mine.append(at_time)
        for name, modality in path.modalities.items():
            shown = path.shown(name, batch, hidden)
            if modality.static:
                shown = (shown[:, None, :, None] * at_time[:, :, None]).flatten(2)
            else:
                shown = lagged(shown)
            mine.append(shown)
    weights = _ridge(
        [_flat(torch.cat(mine, dim=2)) for mine in columns], [_flat(z) for z in factors]
    )
    sizes = [part.shape[2] for part in columns[0]]
    parts = torch.as_tensor(weights).float().split(sizes)
    path.mean[number] = parts[0]
    for name, part in zip(path.modalities, parts[1:], strict=True):
        table = path.get_buffer(f"into_{name}")[number]
        table.copy_(part.view(table.shape))


def _fit_read(
    path: BehaviourPath,
    number: int,
    name: str,
    batches: Sequence[Batch],
    factors: Sequence[Tensor],
) -> None:
    """Regress one behaviour on factors."""
    modality = path.modalities[name]
    features, targets = [], []
    for batch, z in zip(batches, factors, strict=True):
        there = batch.there[name]
        features.append((in_parts(z) if modality.static else lagged(z))[there].double().numpy())
        targets.append(batch.values[name][there].numpy())
    if not len(targets[0]):
        return
    out = path.get_buffer(f"out_{name}")[number]
    start = path.get_buffer(f"start_{name}")[number]
    if modality.kind == "continuous":
        out.copy_(torch.as_tensor(_ridge(features, [t.astype(float) for t in targets])))
        return
    weights, intercept = _logistic(features, targets, out.shape[1])
    out.copy_(torch.as_tensor(weights))
    start.copy_(torch.as_tensor(intercept))


def _ridge(x: Sequence[np.ndarray], y: Sequence[np.ndarray]) -> np.ndarray:
    """Return weights ``(feature, target)`` from training rows, penalty from the others.

    Without others, as if every feature had been seen as often again with nothing to tell.
    """
    values, vectors = np.linalg.eigh(x[0].T @ x[0])
    turned = vectors.T @ (x[0].T @ y[0])
    found = [np.zeros((x[0].shape[1], y[0].shape[1]))]
    found += [vectors @ (turned / (np.maximum(values, 0) + p)[:, None]) for p in _RIDGE]
    if len(x) == 1 or not len(x[1]):
        return vectors @ (turned / (np.maximum(values, 0) + values.max() + 1e-9)[:, None])
    left = [((y[1] - x[1] @ weights) ** 2).sum() for weights in found]
    return found[int(np.argmin(left))]


def _logistic(
    x: Sequence[np.ndarray], y: Sequence[np.ndarray], size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return weights ``(feature, class)`` and intercepts; every class counts the same."""
    weights, intercept = np.zeros((x[0].shape[1], size)), np.zeros(size)
    classes = np.unique(y[0])
    intercept[np.setdiff1d(np.arange(size), classes)] = -np.log(len(y[0]) + 1)
    if len(classes) < 2:
        return weights, intercept
    step = -(-len(x[0]) // _MOST_ROWS)
    scale = x[0].std(axis=0) + 1e-6
    best = np.inf
    choose = len(x) > 1 and len(y[1]) > 0
    for c in _INVERSE_PENALTIES if choose else _INVERSE_PENALTIES[3:4]:
        model = LogisticRegression(C=c, class_weight="balanced", max_iter=200)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(x[0][::step] / scale, y[0][::step])
        coefficients, start = model.coef_, model.intercept_
        if len(classes) == 2:
            coefficients, start = (
                np.vstack([-coefficients, coefficients]) / 2,
                start * np.array([-0.5, 0.5]),
            )
        found, offset = weights.copy(), intercept.copy()
        found[:, classes] = (coefficients / scale).T
        offset[classes] = start
        loss = _cross_entropy(x[1] @ found + offset, y[1]) if choose else -np.inf
        if loss < best:
            best, kept = loss, (found, offset)
    if choose and best >= _cross_entropy(np.tile(intercept, (len(y[1]), 1)), y[1]):
        return weights, intercept
    return kept


def _cross_entropy(odds: np.ndarray, y: np.ndarray) -> float:
    """Mean over classes of their mean cross-entropy."""
    log_p = odds - np.logaddexp.reduce(odds, axis=1, keepdims=True)
    each = -log_p[np.arange(len(y)), y]
    return float(np.mean([each[y == c].mean() for c in np.unique(y)]))


def _flat(values: Tensor) -> np.ndarray:
    return values.flatten(0, 1).double().numpy()
