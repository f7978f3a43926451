"""Fit the linear paths between behaviour and factors to the training windows of a session.

Ridge and logistic regression whose penalty is what predicts the validation windows best; where
nothing predicts them better than the mean, nothing is fitted.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from tinbergen.population.batch import Batch
from tinbergen.population.behaviour_path import BehaviourPath, in_parts, lagged
from tinbergen.population.masks import nothing_hidden

_RIDGE = tuple(10.0**k for k in range(0, 7))
_RIDGE_FINE = tuple(10.0 ** (k / 2) for k in range(0, 14))
_NEARNESS = (1.0, 0.5, 0.25, 0.1)
_INVERSE_PENALTIES = tuple(10.0 ** (k / 2) for k in range(-9, 1))
_MOST_ROWS = 20_000


class Seen(NamedTuple):
    """What the behaviours of a session are regressed on.

    ``columns``: of each batch, behaviour -> ``(window x time, column)``; ``near``: behaviour ->
    ``(column,)``, what columns were multiplied by before a ridge penalty shrinks them all alike.
    """

    columns: list[dict[str, np.ndarray]]
    near: dict[str, np.ndarray]


def fit_behaviour(
    path: BehaviourPath,
    number: int,
    batches: Sequence[Batch],
    factors_of: Callable[[Batch, Tensor], Tensor],
) -> Seen:
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

    Returns
    -------
    What was seen of the behaviours, for :func:`fit_direct`.
    """
    train = batches[0]
    for name, modality in path.modalities.items():
        if modality.kind == "categorical":
            rates = torch.nn.functional.one_hot(
                train.values[name][train.there[name]], path.get_buffer(f"centre_{name}").shape[1]
            ).float()
            if len(rates):
                path.get_buffer(f"centre_{name}")[number] = rates.mean(dim=0)
    nothing = [torch.zeros(b.n_samples, b.n_bins, 2 * path.rank) for b in batches]
    plain = [factors_of(batch, zero) for batch, zero in zip(batches, nothing, strict=True)]
    columns = [_columns(path, batch) for batch in batches]
    near = _nearness(path, columns, plain)
    for each in columns:
        for name, scale in near.items():
            each[name] *= scale
    seen = Seen(columns, near)
    _fit_expected(path, number, seen, plain)
    # To be decoded, a behaviour is hidden, as the others may be.
    mean = torch.nn.functional.pad(path.mean[number], (0, path.rank))
    factors = [
        factors_of(batch, mean.expand_as(zero))
        for batch, zero in zip(batches, nothing, strict=True)
    ]
    for name, modality in path.modalities.items():
        if modality.kind != "counts":
            _fit_read(path, number, name, batches, factors)
    return seen


def _nearness(
    path: BehaviourPath, columns: Sequence[Mapping[str, np.ndarray]], factors: Sequence[Tensor]
) -> dict[str, np.ndarray]:
    """Choose by how much less distant lags of behaviours of many channels are believed.

    Returns
    -------
    See :class:`Seen`; 1 for behaviours of few channels, and without validation windows.
    """
    near = {name: np.ones(each.shape[1]) for name, each in columns[0].items()}
    wide = [name for name in path.modalities if path.in_bumps(name)]
    if len(columns) < 2 or not wide:
        return near
    z = [_flat(each) for each in factors]
    z = [each - z[0].mean(axis=0) for each in z]
    distance = np.abs(np.arange(len(path.bumps)) - len(path.bumps) // 2)
    for name in wide:
        best = np.inf
        for less in _NEARNESS:
            scale = np.repeat(less**distance, len(near[name]) // len(distance))
            x = [each[name] * scale for each in columns]
            left = float(((z[1] - x[1] @ _ridge(x, z)) ** 2).sum())
            if left < best:
                best, near[name] = left, scale
    return near


def _fit_expected(path: BehaviourPath, number: int, seen: Seen, factors: Sequence[Tensor]) -> None:
    """Regress factors on time in the window and all behaviours; what time leaves, on sets."""
    time = path.mean.shape[1]
    z = [_flat(each) for each in factors]
    at_time = [np.tile(np.eye(time), (len(each), 1)) for each in factors]
    every = [
        np.concatenate([t, *c.values()], axis=1)
        for t, c in zip(at_time, seen.columns, strict=True)
    ]
    weights = _ridge(every, z)
    path.mean[number] = torch.as_tensor(weights[:time]).float()
    left = [each - t @ weights[:time] for each, t in zip(z, at_time, strict=True)]
    for which, names in enumerate(path.sets):
        found = weights[time:]
        if len(names) < len(path.modalities):
            found = _ridge([_together(each, names) for each in seen.columns], left)
        _put(path, which, number, slice(path.rank), found, seen.near)


def fit_direct(
    path: BehaviourPath,
    number: int,
    batches: Sequence[Batch],
    seen: Seen,
    counts: Sequence[np.ndarray],
    rates: np.ndarray,
    loadings: np.ndarray,
) -> np.ndarray:
    """Regress on behaviours what single units have beyond the factors that these let expect.

    Reduced-rank ridge regression of relative counts, ``k / mean - 1``, which units weigh by the
    root of their mean, so that the noise of all is alike; penalty and rank are what predicts the
    validation windows best, and nothing is fitted without them.

    Parameters
    ----------
    batches
        As for :func:`fit_behaviour`, which comes first.
    seen
        What it returned.
    counts
        ``(window, time, unit)`` of these.
    rates
        ``(unit,)`` spikes/bin.
    loadings
        ``(unit, rank)``: relative change of each rate for a change of a factor.

    Returns
    -------
    ``(unit, rank)``: relative change of each rate for a change of a component.
    """
    if len(batches) < 2 or not path.modalities:
        return np.zeros_like(loadings)
    every = [np.concatenate(list(each.values()), axis=1) for each in seen.columns]
    grams = [x.T @ x for x in every]
    owner = np.repeat(list(seen.near), [len(each) for each in seen.near.values()])
    root = np.sqrt(rates)
    found: list[np.ndarray] = []
    spread = np.zeros((len(rates), len(rates)))
    for names in path.sets:
        mine, moments = np.flatnonzero(np.isin(owner, names)), []
        for batch, x, gram, spikes in zip(batches, every, grams, counts, strict=True):
            hidden = nothing_hidden(batch)
            for name, value in hidden.values.items():
                value[:] = name not in names
            factors = path.expected(batch, hidden)[..., : path.rank]
            left = spikes.reshape(-1, len(rates)) / root
            left -= root + (_flat(factors) @ loadings.T) * root
            moments.append((gram[np.ix_(mine, mine)], x[:, mine].T @ left))
        found.append(_reduced_rank(*moments))
        spread += found[-1].T @ moments[0][0] @ found[-1]
    directions = np.linalg.eigh(spread)[1][:, ::-1][:, : path.rank]
    own = slice(path.rank, path.rank + directions.shape[1])
    for which, weights in enumerate(found):
        _put(path, which, number, own, weights @ directions, seen.near)
    out = np.zeros_like(loadings)
    out[:, : directions.shape[1]] = directions / root[:, None]
    return out


def _columns(path: BehaviourPath, batch: Batch) -> dict[str, np.ndarray]:
    """Return what of each behaviour is regressed on, ``(window x time, column)``."""
    hidden, at_time = nothing_hidden(batch), torch.eye(batch.n_bins)
    found = {}
    for name, modality in path.modalities.items():
        shown = path.shown(name, batch, hidden)
        if modality.static:
            every = at_time.expand(batch.n_samples, -1, -1)
            found[name] = _flat((shown[:, None, :, None] * every[:, :, None]).flatten(2))
        else:
            found[name] = _flat(path.around(shown))
    return found


def _together(columns: Mapping[str, np.ndarray], names: Sequence[str]) -> np.ndarray:
    return np.concatenate([columns[name] for name in names], axis=1)


def _put(
    path: BehaviourPath,
    which: int,
    number: int,
    columns: slice,
    weights: np.ndarray,
    near: Mapping[str, np.ndarray],
) -> None:
    """Lay the weights of a set of behaviours ``(row, column)`` into their tables."""
    names = path.sets[which]
    ends = np.cumsum([len(near[name]) for name in names])[:-1]
    for name, part in zip(names, np.split(weights, ends), strict=True):
        table = path.get_buffer(f"into_{name}")[which, number][..., columns]
        table.copy_(torch.as_tensor(part * near[name][:, None]).view(table.shape))


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


Moments = tuple[np.ndarray, np.ndarray]


def _reduced_rank(train: Moments, held: Moments) -> np.ndarray:
    """Return weights ``(feature, target)`` of the penalty and rank that are best on held rows.

    Parameters
    ----------
    train, held
        ``X'X`` and ``X'Y`` of rows to fit to and rows to choose on.
    """
    values, vectors = np.linalg.eigh(train[0])
    values, turned = np.maximum(values, 0), vectors.T @ train[1]
    best, found = 0.0, np.zeros(train[1].shape)
    for penalty in _RIDGE_FINE:
        weights = vectors @ (turned / (values + penalty)[:, None])
        # Directions of the fitted values, those of the penalty's rows included (Mukherjee & Zhu).
        axes = np.linalg.eigh(turned.T @ (turned / (values + penalty)[:, None]))[1][:, ::-1]
        by_axis = weights @ axes
        error = ((held[0] @ by_axis - 2 * held[1] @ axes) * by_axis).sum(axis=0).cumsum()
        rank = int(np.argmin(error))
        if error[rank] < best:
            best, found = error[rank], by_axis[:, : rank + 1] @ axes[:, : rank + 1].T
    return found


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
