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
from tinbergen.population.behaviour_path import in_parts, lagged, reach
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
