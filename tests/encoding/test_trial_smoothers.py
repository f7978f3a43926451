"""Kalman and Beta-mixture smoothing over trials, against exact sums on tiny cases."""

from itertools import product

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from tinbergen.encoding import LGAR1, BetaMixtureHMM
from tinbergen.errors import ConfigError, DataError, NotFittedError


def walk(seed, n=300, rho=0.95):
    rng = np.random.default_rng(seed)
    z = np.zeros(n)
    for k in range(1, n):
        z[k] = rho * z[k - 1] + 0.3 * rng.normal()
    return z


# --- Kalman -----------------------------------------------------------------------------------


def set_up(rho, theta, noise, process, initial, mu=0.3, mean=1.5):
    model = LGAR1()
    model.rho_, model.theta_, model.mu_, model.mean_ = rho, theta, mu, mean
    model.noise_variance_, model.process_variance_ = noise, process
    model.initial_variance_, model.log_likelihoods_ = initial, np.empty(0)
    return model


@pytest.mark.parametrize("missing", [[], [0], [2, 3], [5]])
def test_kalman_is_gaussian_conditioning(missing):
    rng = np.random.default_rng(0)
    model = set_up(0.7, -1.3, 0.4, 0.5, 0.9)
    d = rng.normal(size=6)
    d[missing] = np.nan
    variance = np.empty(6)
    variance[0] = 0.9
    for k in range(1, 6):
        variance[k] = 0.49 * variance[k - 1] + 0.5
    prior = np.array(
        [[0.7 ** abs(i - j) * variance[min(i, j)] for j in range(6)] for i in range(6)]
    )
    known = np.isfinite(d)
    outputs = 1.69 * prior[np.ix_(known, known)] + 0.4 * np.eye(known.sum())
    gain = -1.3 * prior[:, known] @ np.linalg.inv(outputs)
    np.testing.assert_allclose(model.predict(d), 1.5 + gain @ (d[known] - 0.3), atol=1e-12)
    spread = prior - gain @ (-1.3 * prior[known])
    np.testing.assert_allclose(model.predict_std(d), np.sqrt(np.diag(spread)), atol=1e-12)
    error = d[known] - 0.3
    expected = -0.5 * (
        np.linalg.slogdet(2 * np.pi * outputs)[1] + error @ np.linalg.solve(outputs, error)
    )
    assert model.log_likelihood(d) == pytest.approx(expected, abs=1e-10)


def test_without_persistence_it_shrinks_to_the_mean():
    model = set_up(0.0, 1.0, 2.0, 3.0, 3.0, mu=1.5)
    d = np.random.default_rng(0).normal(size=9)
    np.testing.assert_allclose(model.predict(d), 1.5 + 0.6 * (d - 1.5), atol=1e-12)


def test_kalman_em_never_falls_and_finds_the_parameters():
    rng = np.random.default_rng(1)
    values = [2 + walk(seed, 1500) for seed in range(3)]
    outputs = [v + 0.7 * rng.normal(size=len(v)) for v in values]
    outputs[1][::7] = np.nan
    model = LGAR1().fit(outputs)
    assert (np.diff(model.log_likelihoods_) > -1e-8).all() and len(model.log_likelihoods_) > 2
    assert model.log_likelihoods_[-1] == pytest.approx(model.log_likelihood(outputs), abs=1e-3)
    assert model.rho_ == pytest.approx(0.95, abs=0.02)
    assert model.noise_variance_ == pytest.approx(0.49, rel=0.1)
    smoothed = model.predict(outputs)
    errors = [np.mean((s - v) ** 2) for s, v in zip(smoothed, values, strict=True)]
    assert max(errors) < 0.5 * 0.49
    inside = np.abs(smoothed[0] - values[0]) < 2 * model.predict_std(outputs)[0]
    assert inside.mean() == pytest.approx(0.95, abs=0.03)


def test_kalman_learns_from_true_values():
    value = 5 + walk(0, 1000)
    decoded = 0.2 + 0.5 * value + 0.4 * np.random.default_rng(0).normal(size=1000)
    model = LGAR1().fit(decoded[:700], value[:700])
    assert model.theta_ == pytest.approx(0.5, abs=0.05)
    smoothed = model.predict(decoded[700:])
    one_by_one = (decoded[700:] - 0.2) / 0.5
    assert np.mean((smoothed - value[700:]) ** 2) < 0.4 * np.mean((one_by_one - value[700:]) ** 2)


# --- Beta mixture -----------------------------------------------------------------------------


def tiny():
    model = BetaMixtureHMM(2)
    model.initial_ = np.array([0.3, 0.7])
    model.transitions_ = np.array([[0.8, 0.2], [0.1, 0.9]])
    model.label_ = np.array([0.15, 0.6])
    model.beta_ = np.array([[1.5, 4.0], [3.0, 2.0]])
    return model


def enumerate_paths(model, d, y=None):
    """Sum over all states and labels; return log-likelihood, p(label 1), p(state)."""
    n = model.n_states
    logs, paths = [], list(product(product(range(n), (0, 1)), repeat=len(d)))
    for path in paths:
        total = np.log(model.initial_[path[0][0]])
        for k, (state, label) in enumerate(path):
            if k:
                total += np.log(model.transitions_[path[k - 1][0], state])
            total += np.log(model.label_[state] if label else 1 - model.label_[state])
            if np.isfinite(d[k]):
                total += stats.beta.logpdf(d[k], *model.beta_[label])
            if y is not None and np.isfinite(y[k]) and y[k] != label:
                total = -np.inf
        logs.append(total)
    weights = np.exp(np.array(logs) - logsumexp(logs))
    of = np.array(paths)  # (path, trial, 2)
    labels = (weights[:, None] * of[:, :, 1]).sum(0)
    states = np.stack([(weights[:, None] * (of[:, :, 0] == s)).sum(0) for s in range(n)], axis=1)
    return logsumexp(logs), labels, states


def test_posteriors_are_sums_over_all_paths():
    model, d = tiny(), np.array([0.2, 0.7, np.nan, 0.9, 0.4])
    log_likelihood, labels, states = enumerate_paths(model, d)
    assert model.log_likelihood(d) == pytest.approx(log_likelihood, abs=1e-10)
    np.testing.assert_allclose(model.predict_proba(d), labels, atol=1e-12)
    np.testing.assert_allclose(model.state_proba(d), states, atol=1e-12)
    np.testing.assert_allclose(model.state_proba(d).sum(axis=1), 1, atol=1e-12)
    y = np.array([np.nan, 1, np.nan, 0, np.nan])
    known, _, joint = model._posterior(d, y)
    log_likelihood, labels, _ = enumerate_paths(model, d, y)
    assert known == pytest.approx(log_likelihood, abs=1e-10)
    np.testing.assert_allclose(joint[:, :, 1].sum(axis=1), labels, atol=1e-12)


def blocks(seed, n=500, states=(0.1, 0.9)):
    rng = np.random.default_rng(seed)
    state = np.repeat(np.arange(n // 50) % len(states), 50)
    label = rng.random(n) < np.array(states)[state]
    return np.where(label, rng.beta(3.5, 2, n), rng.beta(2, 3.5, n)), label


@pytest.mark.parametrize("n_states", [1, 2, 3, 5])
def test_em_never_falls(n_states):
    sessions = [blocks(seed, 300)[0] for seed in range(2)]
    model = BetaMixtureHMM(n_states, max_iterations=40, tolerance=0).fit(sessions)
    assert (np.diff(model.objectives_) > -1e-7).all()
    assert model.transitions_.sum(axis=1) == pytest.approx(1)
    assert model.beta_[0, 0] <= model.beta_[0, 1] and model.beta_[1, 1] <= model.beta_[1, 0]


def test_blocks_help_the_decoder():
    d, label = blocks(0)
    smoothed = BetaMixtureHMM(2).fit(d).predict_proba(d)
    plain, better = (((p > 0.5) == label).mean() for p in (d, smoothed))
    assert better > plain + 0.05


def test_known_labels_give_the_betas_of_each_label():
    d, label = blocks(1)
    model = BetaMixtureHMM(2).fit(d, label.astype(float))
    for own, beta in zip((~label, label), model.beta_, strict=True):
        fitted = np.array(stats.beta.fit(d[own], floc=0, fscale=1)[:2], dtype=float)
        np.testing.assert_allclose(beta, fitted, rtol=1e-4)


def test_a_new_session_stays_near_the_model_as_strongly_as_asked():
    model = BetaMixtureHMM(2).fit(blocks(0)[0])
    new = blocks(5, 100, states=(0.5, 0.5))[0]
    held = model.adapt(new, strength=1e7)
    np.testing.assert_allclose(held.beta_, model.beta_, rtol=1e-3)
    np.testing.assert_allclose(held.label_, model.label_, atol=1e-3)
    some = model.adapt(new, strength=20)
    assert (np.diff(some.objectives_) > -1e-7).all()
    free = model.adapt(new, strength=0)
    likelihoods = [m.log_likelihood(new) for m in (held, some, free)]
    assert likelihoods == sorted(likelihoods)


def test_saved_and_refused(tmp_path):
    d, _ = blocks(0, 100)
    for model in (BetaMixtureHMM(2), LGAR1()):
        with pytest.raises(NotFittedError):
            model.log_likelihood(d)
        model.fit(d).save(tmp_path / type(model).__name__)
        again = type(model).load(tmp_path / type(model).__name__)
        assert again.log_likelihood(d) == model.log_likelihood(d)
    with pytest.raises(DataError, match="between 0 and 1"):
        BetaMixtureHMM().fit(d * 3)
    with pytest.raises(DataError, match="labels 0 and 1"):
        BetaMixtureHMM().fit(d, np.full(100, 2))
    with pytest.raises(ConfigError, match="n_states"):
        BetaMixtureHMM(0).fit(d)
    with pytest.raises(DataError, match="at least 3"):
        LGAR1().fit(np.full(9, np.nan))
    with pytest.raises(DataError, match="same sessions"):
        LGAR1().fit(d, d[:-1])
    certain = np.repeat([0.0, 1.0, np.nan], 30)
    assert np.isfinite(BetaMixtureHMM(2).fit(certain).predict_proba(certain)).all()
