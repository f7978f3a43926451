"""The linear path: factor analysis by closed forms, and its exact posterior by brute force."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import FactorAnalysis
from small import SMALL, make_config, make_corpus, make_session, tensors

from tinbergen.configuration import merge
from tinbergen.population import linear_path
from tinbergen.population.asking import Asker
from tinbergen.population.config import population_config
from tinbergen.population.factors import (
    factor_analysis,
    factor_tables,
    smooth_factor_analysis,
    temporal_kernel,
)
from tinbergen.population.linear_path import LinearPath, log_gain, posterior
from tinbergen.population.masks import nothing_hidden
from tinbergen.population.sessions import Session
from tinbergen.population.task import PopulationTask


def drawn_factors(rng, windows, time, rank, units, rho=0.8, noise=0.5):
    lags = np.abs(np.subtract.outer(np.arange(time), np.arange(time)))
    root = np.linalg.cholesky(rho**lags + 1e-9 * np.eye(time))
    z = np.einsum("ts,wsr->wtr", root, rng.normal(size=(windows, time, rank)))
    loadings = rng.normal(size=(units, rank))
    x = z @ loadings.T + noise * rng.normal(size=(windows, time, units))
    return x, z, loadings


def test_factor_analysis_is_scikit_learns_but_for_its_prior():
    rng = np.random.default_rng(0)
    x, _, _ = drawn_factors(rng, 20_000, 1, 3, 12, noise=1.5)
    x = x[:, 0]
    loadings, noise = factor_analysis(x, 3)
    covariance = loadings @ loadings.T + np.diag(noise)
    theirs = FactorAnalysis(3, tol=1e-6, max_iter=2000).fit(x).get_covariance()
    assert np.linalg.norm(covariance - theirs) / np.linalg.norm(theirs) < 0.1


def test_temporal_kernel_is_that_of_the_factors():
    rng = np.random.default_rng(1)
    x, _, loadings = drawn_factors(rng, 3000, 12, 3, 30, rho=0.7)
    kernel = temporal_kernel(x, loadings)
    np.testing.assert_allclose(kernel[0], 0.7 ** np.arange(12), atol=0.05)
    assert np.linalg.eigvalsh(kernel).min() > 0


def test_smooth_factors_are_found():
    rng = np.random.default_rng(2)
    x, _, loadings = drawn_factors(rng, 2000, 15, 2, 20, noise=2.0)
    found, noise, _ = smooth_factor_analysis(x, 2)
    span = loadings @ np.linalg.pinv(loadings)
    assert np.linalg.norm(span @ found) / np.linalg.norm(found) > 0.99
    # Loadings are drawn to zero a little by their prior.
    shared, truth = found @ found.T, loadings @ loadings.T
    assert np.linalg.norm(shared - truth) / np.linalg.norm(truth) < 0.2
    assert abs(noise.mean() - 4.0) < 0.2


@pytest.mark.parametrize("hidden", [[], [7, 8], [0, 3, 4], list(range(9))])
def test_posterior_is_that_of_the_joint_normal(hidden):
    rng = np.random.default_rng(3)
    time, rank, units = 9, 3, 5
    lags = np.abs(np.subtract.outer(np.arange(time), np.arange(time)))
    kernel = 0.8**lags
    a, x = rng.normal(size=(units, rank)), rng.normal(size=(time, units))
    shown = np.ones(time)
    shown[hidden] = 0
    # All bins and units as one vector: prior I (x) K, observations with unit noise where shown.
    prior = np.kron(kernel, np.eye(rank))
    look = np.kron(np.eye(time), a)[np.repeat(shown > 0, units)]
    seen = x.ravel()[np.repeat(shown > 0, units)]
    gain = prior @ look.T @ np.linalg.inv(look @ prior @ look.T + np.eye(len(seen)))
    expected = (gain @ seen).reshape(time, rank)
    evidence = (x * shown[:, None]) @ a
    found = posterior(*(torch.as_tensor(v)[None] for v in (evidence, a.T @ a, shown, kernel)))
    np.testing.assert_allclose(found.mean[0], expected, atol=1e-10)
    left = (prior - gain @ look @ prior).reshape(time, rank, time, rank)
    turn, variance = found.turn[0].numpy(), found.variance[0].numpy()
    for t in range(time):
        mine = (turn * variance[:, t]) @ turn.T
        np.testing.assert_allclose(mine, left[t, :, t], atol=1e-10)


def test_certainty_is_what_the_change_varies_by():
    """Drawn from its own model, a change is off by what is left open, and told for the rest."""
    session = make_session("a", 20, windows=400)
    corpus = make_corpus([session], make_config(units={"linear_rank": 2}))
    path = LinearPath(corpus.vocabulary, corpus.config)
    rng = np.random.default_rng(7)
    a, kernel = rng.normal(size=(20, 2)) * 0.6, 0.8 ** np.abs(np.subtract.outer(*[range(10)] * 2))
    path.linear_in[0, :20] = torch.as_tensor(a)
    path.linear_out[0, :20] = torch.as_tensor(0.1 * a)
    path.linear_kernel[0] = torch.as_tensor(kernel)
    z = np.linalg.cholesky(kernel) @ rng.normal(size=(400, 10, 2))
    batch = tensors(corpus.batch(np.arange(400)))
    x = torch.zeros(batch.counts.shape)
    x[..., :20] = torch.as_tensor(z @ a.T + rng.normal(size=(400, 10, 20)))
    visible = torch.zeros_like(x, dtype=torch.bool)
    visible[:, :7, 5:20] = True
    change, _ = path(x * visible, visible, batch, nothing_hidden(batch))
    truth = 0.1 * torch.as_tensor(z @ a.T)
    told = change.log_gain[..., :20].exp() - 1
    # The logarithm is bent where rates nearly vanish: a spread, not a mean, is compared.
    np.testing.assert_allclose((told - truth).std(dim=0), change.untold[0, :, :20], rtol=0.2)
    np.testing.assert_allclose(told.std(dim=0), change.told[0, :, :20], rtol=0.2)


def test_log_gain_is_a_logarithm_where_rates_stay_positive():
    change = torch.tensor([-5.0, -0.5, 0.0, 0.7, 3.0])
    found = log_gain(change).numpy()
    np.testing.assert_allclose(found[1:], np.log1p(change[1:].numpy()), atol=0.03)
    assert np.isfinite(found[0]) and found[0] < -4


def test_an_untrained_network_predicts_what_its_factors_say():
    """Before the first step the network adds nothing: rates are those of factor analysis."""
    rng = np.random.default_rng(4)
    _, z, loadings = drawn_factors(rng, 120, 10, 2, 40)
    rates = 0.8 * np.exp(0.4 * z @ loadings.T)
    session = Session.of_arrays("a", rng.poisson(rates))
    config = population_config(overrides=merge(SMALL, {"units": {"linear_rank": 2}}))
    corpus = make_corpus([session], config)
    task = PopulationTask(corpus, np.arange(100), np.arange(0))
    ask = Asker(task.build().eval(), corpus)
    test = np.arange(100, 120)
    guess = ask.spikes("a", test, "co_smoothing")
    mean = session.counts[:100].mean(axis=(0, 1))
    counts, expected = session.counts[test], rates[test]
    gain = (counts * np.log(guess / mean) - guess + mean).sum()
    best = (counts * np.log(expected / mean) - expected + mean).sum()
    assert gain > 0.6 * best


def test_tables_have_the_shapes_of_the_model():
    session = make_session("a", 5)
    corpus = make_corpus([session], make_config(units={"linear_rank": 8}))
    known = corpus.vocabulary.sessions[0]
    tables = factor_tables(session, known, np.arange(10), np.arange(0), corpus.config.units)
    assert {k: v.shape for k, v in tables.items()} == {
        "linear_in": (5, 8), "linear_scale": (5,), "linear_out": (5, 8), "linear_kernel": (10, 10),
    }  # fmt: skip
    assert not tables["linear_in"][:, 5:].any()  # no more factors than units
    assert all(np.isfinite(v).all() for v in tables.values())


def test_rates_are_matched_to_the_validation_windows():
    """A unit that fires twice as much after training starts there; the others stay."""
    rng = np.random.default_rng(5)
    rates = np.full((120, 10, 12), 0.4)
    rates[80:, :, 0] *= 2
    session = Session.of_arrays("a", rng.poisson(rates))
    config = population_config(overrides=merge(SMALL, {"units": {"linear_rank": 2}}))
    corpus = make_corpus([session], config, {"a": np.arange(80)})
    model = PopulationTask(corpus, np.arange(80), np.arange(80, 110)).build()
    found = model.tables.unit_shift[0, :12].numpy()
    assert 0.5 < found[0] < np.log(2) + 0.2
    assert np.abs(found[1:]).max() < 0.35
    guess = Asker(model.eval(), corpus).spikes("a", np.arange(110, 120), "co_smoothing")
    assert guess[..., 0].mean() > 1.6 * guess[..., 1:].mean()
    # In training it is not there: there nothing has drifted.
    batch = tensors(corpus.batch(np.arange(2)))
    before = model.tables.base(batch)[0, 0]
    assert model.train().tables.base(batch)[0, 0] < before - 0.4


def test_many_windows_are_solved_in_parts(monkeypatch):
    rng = np.random.default_rng(6)
    a = torch.as_tensor(rng.normal(size=(7, 5, 3)))
    kernel = torch.as_tensor(0.8 ** np.abs(np.subtract.outer(range(6), range(6))))
    inputs = (
        torch.as_tensor(rng.normal(size=(7, 6, 3))),
        a.transpose(1, 2) @ a,
        torch.as_tensor(rng.random((7, 6)) < 0.7).double(),
        kernel.expand(7, 6, 6),
    )
    whole = posterior(*inputs)
    monkeypatch.setattr(linear_path, "_NUMBERS_AT_ONCE", 2 * 3 * 6 * 6)
    for part, all_at_once in zip(posterior(*inputs), whole, strict=True):
        torch.testing.assert_close(part, all_at_once)
