"""The linear paths between factors and behaviour: closed forms, scikit-learn, simulated truth."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression, Ridge
from small import SMALL, make_config, make_corpus, make_model, make_session, tensors

from tinbergen.metrics import r2
from tinbergen.population import behaviour_fits
from tinbergen.population.asking import Asker
from tinbergen.population.behaviour_path import in_parts, lag_bumps, lagged, reach
from tinbergen.population.config import population_config
from tinbergen.population.masks import nothing_hidden
from tinbergen.population.sessions import Session
from tinbergen.population.task import PopulationTask


def test_ridge_is_that_of_scikit_learn_with_the_best_penalty():
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(n, 6)) for n in (50, 400)]
    truth = rng.normal(size=(6, 2))
    y = [each @ truth + 4 * rng.normal(size=(len(each), 2)) for each in x]
    fits = [
        Ridge(alpha=a, fit_intercept=False).fit(x[0], y[0]).coef_.T for a in behaviour_fits._RIDGE
    ]
    best = min(fits, key=lambda w: ((y[1] - x[1] @ w) ** 2).sum())
    np.testing.assert_allclose(behaviour_fits._ridge(x, y), best, rtol=1e-6)


def test_what_nothing_tells_is_left_at_the_mean():
    rng = np.random.default_rng(1)
    x = [rng.normal(size=(n, 30)) for n in (40, 40)]
    assert not behaviour_fits._ridge(x, [x[0][:, :2], -x[1][:, :2]]).any()
    labels = [(each[:, 0] > 0).astype(int) for each in x]
    weights, start = behaviour_fits._logistic(x, [labels[0], 1 - labels[1]], 2)
    assert not weights.any() and not start.any()


@pytest.mark.parametrize("classes", [2, 3])
def test_logistic_gives_the_probabilities_of_scikit_learn(classes):
    rng = np.random.default_rng(2)
    x = [rng.normal(size=(n, 4)) for n in (90, 60)]
    y = [np.argmax(each[:, :classes] + rng.normal(size=(len(each), classes)), 1) for each in x]
    weights, start = behaviour_fits._logistic(x, y, classes + 1)
    scale = x[0].std(axis=0) + 1e-6
    found = log_softmax(x[1] @ weights + start, axis=1)
    losses = []
    for c in behaviour_fits._INVERSE_PENALTIES:
        model = LogisticRegression(C=c, class_weight="balanced", max_iter=200)
        odds = model.fit(x[0] / scale, y[0]).predict_log_proba(x[1] / scale)
        each = -odds[np.arange(len(odds)), y[1]]
        losses.append((np.mean([each[y[1] == k].mean() for k in range(classes)]), odds))
    right = min(losses, key=lambda pair: pair[0])[1]
    # The class that training never showed has little probability, not none.
    np.testing.assert_allclose(found[:, :classes], right, atol=0.05)
    assert -8 < found[:, classes].max() < -3


def test_lags_and_parts_are_laid_out_as_they_say():
    z = torch.arange(24.0).view(1, 12, 2)
    far = reach(12)
    found = lagged(z).view(12, 2 * far + 1, 2)
    for t in range(12):
        for lag in range(-far, far + 1):
            inside = 0 <= t + lag < 12
            expected = z[0, t + lag] if inside else torch.zeros(2)
            torch.testing.assert_close(found[t, lag + far], expected)
    torch.testing.assert_close(in_parts(z), z.flatten(1))
    long = torch.arange(40.0).view(1, 40, 1)
    torch.testing.assert_close(in_parts(long)[0], torch.arange(20.0) * 2 + 0.5)


def behaving(n=240, seed=0, time=12, units=40):
    """Factors that follow what the animal does, and spikes that follow them."""
    rng = np.random.default_rng(seed)
    choice = rng.integers(0, 2, n)
    wheel = rng.normal(size=(n, time)).cumsum(axis=1) / 2
    late = np.pad(wheel, ((0, 0), (2, 0)))[:, :time]  # neurons follow by two bins
    shape = np.sin(np.arange(time) / 3)
    z = np.stack([late, np.where(choice[:, None] == 1, 1, -1) * shape], axis=2)
    log_rate = z @ (0.3 * rng.normal(size=(2, units)))
    counts = rng.poisson(0.7 * np.exp(log_rate))
    values = {
        "wheel": wheel[..., None],
        "choice": np.array(["left", "right"], dtype=object)[choice],
    }
    return Session.of_arrays("a", counts, values=values), 0.7 * np.exp(log_rate)


def test_a_network_starts_as_linear_encoder_and_decoder():
    session, rates = behaving()
    modalities = {
        "wheel": {"kind": "continuous"},
        "choice": {"kind": "categorical", "static": True},
    }
    config = population_config(
        overrides={**SMALL, "modalities": modalities, "units": {"linear_rank": 8}}
    )
    corpus = make_corpus([session], config, {"a": np.arange(160)})
    task = PopulationTask(corpus, np.arange(160), np.arange(160, 200))
    ask = Asker(task.build().eval(), corpus)
    test = np.arange(200, 240)
    wheel = ask.decoding("a", test, "wheel", ["spikes"])
    assert r2(session.values["wheel"][test].reshape(-1), wheel.reshape(-1)) > 0.6
    odds = ask.decoding("a", test, "choice", ["spikes"])
    assert (odds.argmax(1) == (session.values["choice"][test] == "right")).mean() > 0.9
    counts, mean = session.counts[test], session.counts[:160].mean(axis=(0, 1))

    def gain(guess):
        return (counts * np.log(guess / mean) - guess + mean).sum()

    both = gain(ask.encoding("a", test, ["wheel", "choice"]))
    one = gain(ask.encoding("a", test, ["wheel"]))
    none = gain(ask.encoding("a", test, []))
    assert gain(rates[test]) > both > 0.7 * gain(rates[test])
    assert both > one > none


def test_reduced_rank_is_the_best_of_all_penalties_and_ranks():
    rng = np.random.default_rng(3)
    x = [rng.normal(size=(n, 8)) for n in (60, 300)]
    truth = rng.normal(size=(8, 2)) @ rng.normal(size=(2, 5))
    y = [each @ truth + 3 * rng.normal(size=(len(each), 5)) for each in x]
    found = behaviour_fits._reduced_rank(*[(a.T @ a, a.T @ b) for a, b in zip(x, y, strict=True)])
    best, right = np.inf, None
    for penalty in behaviour_fits._RIDGE_FINE:
        # A penalty is as many rows more (Mukherjee & Zhu 2011).
        augmented = np.vstack([x[0], np.sqrt(penalty) * np.eye(8)])
        weights = np.linalg.lstsq(augmented, np.vstack([y[0], np.zeros((8, 5))]), rcond=None)[0]
        axes = np.linalg.svd(augmented @ weights, full_matrices=False)[2].T
        for rank in range(1, 6):
            each = weights @ axes[:, :rank] @ axes[:, :rank].T
            left = ((y[1] - x[1] @ each) ** 2).sum()
            if left < best:
                best, right = left, each
    assert right is not None
    np.testing.assert_allclose(found, right, atol=1e-8)


def test_lag_bumps_share_out_each_lag_and_reach_no_further():
    bumps = lag_bumps(50)
    far = reach(50)
    lag = np.abs(np.subtract.outer(np.arange(50), np.arange(50)))
    np.testing.assert_allclose(bumps.sum(axis=0), (lag <= far).astype(float), atol=1e-12)
    middle = len(bumps) // 2
    assert bumps[middle].argmax(axis=1).tolist() == list(range(50))
    assert bumps[-1][0].argmax() == far and bumps[0][far].argmax() == 0  # later, and before
    assert lag_bumps(3).tolist() == [np.eye(3).tolist()]  # too short for any lag


def seeing(n=180, time=12, units=10, seed=0):
    """Units that each follow a channel of their own, some of many; half of the channels late."""
    rng = np.random.default_rng(seed)
    slow = rng.normal(size=(n, time, units)).cumsum(axis=1) / 2
    mixed = slow @ rng.normal(size=(units, 150))
    rates = 0.8 * np.exp(0.4 * slow)
    values = {"video": mixed.astype(np.float32), "blurred": slow + rng.normal(size=slow.shape)}
    return Session.of_arrays("a", rng.poisson(rates), values=values), rates


def test_units_that_share_no_factor_are_encoded_and_each_set_has_weights_of_its_own():
    session, rates = seeing()
    modalities = {"video": {"kind": "continuous"}, "blurred": {"kind": "continuous"}}
    config = population_config(
        overrides={**SMALL, "modalities": modalities, "units": {"linear_rank": 12}}
    )
    corpus = make_corpus([session], config, {"a": np.arange(120)})
    assert corpus.vocabulary.widths["video"] == 128  # components of 150 channels
    model = PopulationTask(corpus, np.arange(120), np.arange(120, 150)).build().eval()
    ask, test = Asker(model, corpus), np.arange(150, 180)
    counts, mean = session.counts[test], session.counts[:120].mean(axis=(0, 1))

    def gain(guess):
        return (counts * np.log(guess / mean) - guess + mean).sum()

    def closed(*names):  # ridge of relative counts on the same rows, its penalty from the test
        x = np.concatenate([session.values[name] for name in names], axis=2)
        x = (x - x[:120].mean(axis=(0, 1))) / x[:120].std(axis=(0, 1))
        y = (session.counts[:120] / mean - 1).reshape(-1, len(mean))
        fits = [Ridge(alpha=10.0**k).fit(x[:120].reshape(len(y), -1), y) for k in range(1, 6)]
        added = [
            fit.predict(x[test].reshape(-1, x.shape[2])).reshape(counts.shape) for fit in fits
        ]
        return max(gain(mean * np.maximum(1 + each, 0.05)) for each in added)

    both, video, blurred = (
        gain(ask.encoding("a", test, names))
        for names in (["video", "blurred"], ["video"], ["blurred"])
    )
    assert gain(rates[test]) > video > 0.9 * closed("video")
    # What the joint weights leave to the blurred copy is next to nothing.
    assert video > blurred > 0.9 * closed("blurred")
    assert both > 0.95 * video


def test_expected_factors_are_where_the_posterior_starts():
    """Without spikes the factors are the expected ones; spikes that agree change nothing."""
    session = make_session("a", 9)
    corpus = make_corpus([session], make_config())
    model = make_model(corpus)
    path, batch = model.linear, tensors(corpus.batch(np.arange(4)))
    assert path is not None
    hidden = nothing_hidden(batch)
    expected = path.behaviour.expected(batch, hidden)
    nothing = torch.zeros(batch.counts.shape)
    found = path.factors(nothing, nothing.bool(), batch, expected).mean
    of_factors = expected[..., : path.behaviour.rank]
    torch.testing.assert_close(found, of_factors)
    visible = batch.present[:, None].expand(-1, batch.n_bins, -1)
    foreseen = -path.surprise(nothing, visible, batch, expected)
    scale = path.linear_scale[batch.block].repeat_interleave(batch.per_row, 0)[:, None]
    found = path.factors(foreseen / scale, visible, batch, expected).mean
    torch.testing.assert_close(found, of_factors, atol=1e-4, rtol=1e-4)
