"""How well predicted rates tell spike counts: bits per spike and Poisson D2, with explicit nulls.

Two traps make published numbers differ, so nothing here has a hidden default for the first and
the second is written out:

*The null.* A score is the gain over a null model; ``"mean"`` is one rate a unit, ``"psth"`` one
rate a unit and time bin. The routine of the Neural Latents Benchmark averages over all axes but
the last: handed one neuron as ``(trial, time)``, it takes the mean of every *time bin of the test
data*, which no model without test data can know. That costs even the true constant rate
``1 / (2 K r ln 2)`` bits/spike (``K`` test trials, ``r`` spikes/bin): 0.12 for 20 trials at 0.3
spikes/bin. Here the last axis is always the unit.

*The floor.* A rate of zero where a spike came costs infinitely much, so rates are raised to a
floor first. One and the same linear prediction can score -1.1 with a floor of 1e-9 and +0.2 with
0.05 spikes/bin. Compare only scores with the same floor (here 1e-9, as in the benchmark), and give
models positive rates rather than a high floor.

Counts and rates are ``(time, unit)`` or ``(trial, time, unit)``, spikes/bin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln, xlogy

from tinbergen.errors import DataError
from tinbergen.metrics.blocks import add_rows, group_numbers, row_blocks, same_shape
from tinbergen.metrics.bootstrap import bootstrap_interval
from tinbergen.metrics.known import known_mean
from tinbergen.metrics.score import Interval

NULL_KINDS = ("mean", "psth", "train-mean", "train-psth")
FLOOR = 1e-9  # spikes/bin


def poisson_nll(
    counts: ArrayLike, rates: ArrayLike, floor: float = FLOOR, *, factorial: bool = True
) -> np.ndarray:
    """Negative log-likelihood of each count, nats.

    ``r - n ln r + ln n!``; the last term depends on no model and cancels in every score.

    Parameters
    ----------
    counts, rates
        Any shapes that fit each other, spikes/bin.
    floor
        Rates below it are raised to it, spikes/bin.
    factorial
        Whether to add ``ln n!``.

    Examples
    --------
    >>> round(float(poisson_nll([0, 1, 2, 1], [0.5, 1, 1.5, 1]).sum()), 6)
    3.882217
    """
    n = np.asarray(counts, dtype=np.float64)
    r = np.maximum(np.asarray(rates, dtype=np.float64), floor)
    return r - xlogy(n, r) + (gammaln(n + 1) if factorial else 0.0)


def null_rates(
    kind: str,
    counts: ArrayLike,
    train: ArrayLike | None = None,
    *,
    conditions: ArrayLike | None = None,
    train_conditions: ArrayLike | None = None,
) -> np.ndarray:
    """Rates of a model that knows nothing but averages, spikes/bin.

    Parameters
    ----------
    kind
        ``"mean"``: one rate a unit. ``"psth"``: one a unit and time bin, the average over trials.
        From the evaluated counts themselves, as papers do; with ``"train-"`` before it from the
        training counts, which is what a model could really have known.
    counts
        ``(time, unit)`` or ``(trial, time, unit)``: the evaluated counts; NaN are left out.
    train
        The training counts, for the kinds that start with ``"train-"``.
    conditions, train_conditions
        ``(trial,)`` labels: a PSTH a condition. A condition without training trials gets the
        average over all.

    Returns
    -------
    ndarray
        ``(unit,)``, ``(time, unit)``, or with conditions ``(trial, time, unit)``: broadcasts to
        ``counts``.

    Raises
    ------
    DataError
        If training counts are missing, or a PSTH is asked of counts without trials.

    Examples
    --------
    >>> null_rates("mean", [[0, 4], [2, 4]])
    array([1., 4.])
    """
    if kind not in NULL_KINDS:
        raise DataError(f"expected a null of {', '.join(NULL_KINDS)}, found {kind!r}.")
    source, labels = counts, conditions
    if kind.startswith("train-"):
        if train is None:
            raise DataError(f"the null {kind!r} needs the training counts: pass train=.")
        source, labels = train, train_conditions
    y = np.asarray(source, dtype=np.float64)
    y = y[:, None] if y.ndim == 1 else y
    if kind.endswith("mean"):
        return known_mean(y.reshape(-1, y.shape[-1]))
    if y.ndim != 3:
        raise DataError(
            f"a PSTH is an average over trials: expected counts (trial, time, unit), found shape "
            f"{y.shape}. Use the null 'mean' for counts without trials."
        )
    overall = known_mean(y)
    if conditions is None:
        return overall
    if labels is None:
        raise DataError(f"the null {kind!r} by condition needs train_conditions= too.")
    labels, wanted = np.asarray(labels), np.asarray(conditions)
    averages = {c: known_mean(y[labels == c]) for c in np.unique(labels)}
    return np.stack([averages.get(c, overall) for c in wanted])


def bits_per_spike(
    counts: ArrayLike,
    rates: ArrayLike,
    null: ArrayLike | str,
    floor: float = FLOOR,
    *,
    train: ArrayLike | None = None,
) -> np.ndarray:
    """Bits per spike of each unit: what the rates tell beyond the null.

    ``(NLL_null - NLL_model) / (spikes ln 2)``, summed over all bins of a unit (Pei et al.
    2021). 0 is the null; there is no upper bound but that of the data.

    Parameters
    ----------
    counts
        ``(time, unit)`` or ``(trial, time, unit)``, spikes/bin, >= 0. A vector is one unit.
    rates
        Same shape: predicted, spikes/bin.
    null
        Rates that broadcast to the counts, or a kind that :func:`null_rates` knows. It decides
        what the number means; see the module.
    floor
        Rates and null below it are raised to it, spikes/bin. It decides a lot too.
    train
        Training counts, for the ``"train-..."`` nulls.

    Returns
    -------
    ndarray
        ``(unit,)``; NaN for a unit without spikes. Bins where counts, rates or null are NaN are
        left out of the sums.

    Raises
    ------
    DataError
        For different shapes, negative counts, or infinite rates.

    References
    ----------
    Pei et al., "Neural Latents Benchmark '21", NeurIPS Datasets 2021, equation 1.

    Examples
    --------
    >>> bits_per_spike([0, 1, 2, 1], [0.5, 1, 1.5, 1], null=1.0).round(6)
    array([0.292481])
    """
    gain, weight = information_parts(counts, rates, null, floor, train=train)
    return _ratio(gain.sum(axis=0), weight.sum(axis=0))


def poisson_d2(
    counts: ArrayLike,
    rates: ArrayLike,
    null: ArrayLike | str,
    floor: float = FLOOR,
    *,
    train: ArrayLike | None = None,
) -> np.ndarray:
    """Share of the Poisson deviance of each unit that the rates explain.

    ``(NLL_null - NLL_model) / (NLL_null - NLL_saturated)``: 0 is the null, 1 rates that equal
    the counts. Parameters and NaN as in :func:`bits_per_spike`; with the null ``"mean"`` it is
    scikit-learn's ``d2_tweedie_score(power=1)``.

    Examples
    --------
    >>> poisson_d2([0, 1, 2, 1], [0.5, 1, 1.5, 1], null=1.0).round(6)
    array([0.584963])
    """
    gain, weight = information_parts(counts, rates, null, floor, train=train, deviance=True)
    return _ratio(gain.sum(axis=0), weight.sum(axis=0))


def _ratio(gain: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return np.where(weight > 0, gain / np.where(weight > 0, weight, 1.0), np.nan)


def information_parts(
    counts: ArrayLike,
    rates: ArrayLike,
    null: ArrayLike | str,
    floor: float = FLOOR,
    *,
    train: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    deviance: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Return sums whose ratio is bits per spike (or D2), a row a group, for a bootstrap.

    Parameters
    ----------
    counts, rates, null, floor, train
        As in :func:`bits_per_spike`.
    groups
        ``(trial,)`` or ``(time,)``: what a row belongs to (a trial, a block of time). By default
        everything is one group.
    deviance
        Give the parts of :func:`poisson_d2` instead.

    Returns
    -------
    gain, weight
        ``(group, unit)`` each, nats, groups in sorted order; see
        :func:`~tinbergen.metrics.ratio_intervals`.
    """
    n, r = same_shape(counts, rates)
    if isinstance(null, str):
        null = null_rates(null, n, train)
    try:
        base = np.broadcast_to(np.asarray(null, dtype=np.float64), n.shape)
    except ValueError:
        raise DataError(
            f"expected a null that broadcasts to counts {n.shape}, found {np.shape(null)}."
        ) from None
    index, n_groups = group_numbers(groups, len(n))
    gain = np.zeros((n_groups, n.shape[-1]))
    weight = np.zeros_like(gain)
    for rows in row_blocks(n.shape):
        gained, weighed = _parts(n[rows], r[rows], base[rows], floor, deviance)
        add_rows(gain, index[rows], gained)
        add_rows(weight, index[rows], weighed)
    return gain, weight


def _parts(
    counts: np.ndarray, rates: np.ndarray, null: np.ndarray, floor: float, deviance: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Gain over the null, and spikes x ln 2 (or null deviance), of each bin."""
    n = counts.astype(np.float64)
    r, base = np.maximum(rates.astype(np.float64), floor), np.maximum(null, floor)
    if np.nanmin(n, initial=0) < 0:
        raise DataError(f"expected counts >= 0, found {np.nanmin(n):g}.")
    if np.isinf(r).any() or np.isinf(base).any() or np.isinf(n).any():
        raise DataError("counts, rates and null must not be infinite.")
    gain = base - r + n * (np.log(r) - np.log(base))
    weight = base - n + xlogy(n, n) - n * np.log(base) if deviance else n * np.log(2)
    unknown = np.isnan(gain)
    if unknown.any():
        gain, weight = np.where(unknown, 0.0, gain), np.where(unknown, 0.0, weight)
    return gain, weight


@dataclass(frozen=True)
class BitsPerSpike:
    """Bits per spike of a population against one null.

    Attributes
    ----------
    null, floor
        What it is measured against; see :func:`bits_per_spike`.
    values
        ``(unit,)``; NaN for units without spikes.
    mean, median
        Over units.
    interval
        95 % of the mean, bootstrap over units.
    pooled
        Gain of all units over the spikes of all units: units with many spikes count more.
    n, n_left_out
        Units scored, and units without spikes.
    """

    null: str
    floor: float
    values: np.ndarray
    mean: float
    median: float
    interval: Interval
    pooled: float
    n: int
    n_left_out: int


def bits_per_spike_table(
    counts: ArrayLike,
    rates: ArrayLike,
    train: ArrayLike | None = None,
    *,
    conditions: ArrayLike | None = None,
    train_conditions: ArrayLike | None = None,
    floor: float = FLOOR,
    seed: int = 0,
) -> list[BitsPerSpike]:
    """Bits per spike against every null at once.

    Parameters
    ----------
    counts, rates
        ``(time, unit)`` or ``(trial, time, unit)``, spikes/bin.
    train
        Training counts; without them the two ``"train-..."`` nulls are left out.
    conditions, train_conditions
        ``(trial,)`` labels, for PSTHs a condition.
    floor
        Of rates and nulls, spikes/bin.

    Returns
    -------
    list of BitsPerSpike
        In the order of ``NULL_KINDS``; those by PSTH only for counts with trials.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> counts = rng.poisson(2.0, size=(30, 20, 5))
    >>> [row.null for row in bits_per_spike_table(counts, np.full(counts.shape, 2.0))]
    ['mean', 'psth']
    """
    kinds = [k for k in NULL_KINDS if train is not None or not k.startswith("train-")]
    if np.ndim(counts) != 3:
        kinds = [k for k in kinds if not k.endswith("psth")]
    rows = []
    for kind in kinds:
        by = conditions if kind == "psth" or train_conditions is not None else None
        null = null_rates(kind, counts, train, conditions=by, train_conditions=train_conditions)
        gain, weight = (part.sum(axis=0) for part in information_parts(counts, rates, null, floor))
        values = _ratio(gain, weight)
        known = np.isfinite(values)
        some = bool(known.any())
        rows.append(
            BitsPerSpike(
                null=kind,
                floor=floor,
                values=values,
                mean=float(values[known].mean()) if some else np.nan,
                median=float(np.median(values[known])) if some else np.nan,
                interval=bootstrap_interval(values, seed=seed),
                pooled=float(gain[known].sum() / weight[known].sum()) if some else np.nan,
                n=int(known.sum()),
                n_left_out=int((~known).sum()),
            )
        )
    return rows
