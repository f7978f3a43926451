"""Gaussian and autoregressive hidden Markov models."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, multivariate_t

from tinbergen.actions.arhmm import ARHMM
from tinbergen.actions.hmm import HMM
from tinbergen.actions.regression import autoregressors, log_densities
from tinbergen.errors import ConfigError, DataError
from tinbergen.statespace.chains import forward_backward, viterbi


class TestPublishedNumbers:
    def test_gaussian(self):
        x = np.array([-0.9, -0.2, 0.4, 1.3, 0.1])[:, None]
        density = log_densities(x, np.array([[[-1.0]], [[1.0]]]), np.ones((2, 1, 1)), 0)
        chain = np.full(2, 0.5), np.array([[0.9, 0.1], [0.1, 0.9]])
        found = forward_backward([density], *chain)
        np.testing.assert_allclose(found.log_likelihoods, -7.539662836, atol=1e-9)
        expected = [0.69619108, 0.50727442, 0.21317212, 0.08286651, 0.1494392]
        np.testing.assert_allclose(found.states[0][:, 0], expected, atol=1e-8)
        assert viterbi([density], *chain)[0][0].tolist() == [0, 0, 1, 1, 1]

    def test_autoregressive(self):
        x = np.array([0.0, 0.5, 0.2, -0.4])[:, None]
        weights = np.array([[[0.9, 0.1]], [[-0.5, 0.0]]])
        density = log_densities(x, weights, np.array([[[0.1]], [[0.2]]]), 1)
        np.testing.assert_array_equal(density[0], 0)
        moves = np.array([[0.8, 0.2], [0.3, 0.7]])
        found = forward_backward([density[1:]], np.full(2, 0.5), moves)
        np.testing.assert_allclose(found.log_likelihoods, -2.171753800, atol=1e-9)
        expected = [0.47315397, 0.43395821, 0.21854083]
        np.testing.assert_allclose(found.states[0][:, 0], expected, atol=1e-8)


@pytest.mark.parametrize("lags", [0, 1, 2])
def test_density_is_that_of_a_multivariate_normal(lags):
    rng = np.random.default_rng(lags)
    x, weights = rng.normal(size=(6, 3)), rng.normal(size=(2, 3, 3 * lags + 1))
    root = rng.normal(size=(2, 3, 3))
    noise = root @ root.swapaxes(1, 2) + np.eye(3)
    found = log_densities(x, weights, noise, lags)
    for t in range(lags, 6):
        r = np.concatenate([*(x[t - lag] for lag in range(1, lags + 1)), [1.0]])
        np.testing.assert_array_equal(autoregressors(x, lags)[t - lags], r)
        for k in range(2):
            expected = multivariate_normal(weights[k] @ r, noise[k]).logpdf(x[t])
            np.testing.assert_allclose(found[t, k], expected, rtol=1e-10)


@pytest.mark.parametrize("lags", [0, 1])
def test_density_is_that_of_a_multivariate_t(lags):
    rng = np.random.default_rng(lags)
    x, weights = rng.normal(size=(6, 3)), rng.normal(size=(2, 3, 3 * lags + 1))
    root = rng.normal(size=(2, 3, 3))
    scale = root @ root.swapaxes(1, 2) + np.eye(3)
    found = log_densities(x, weights, scale, lags, 3.5)
    for t in range(lags, 6):
        r = autoregressors(x, lags)[t - lags]
        for k in range(2):
            t_noise = multivariate_t(weights[k] @ r, scale[k], 3.5)  # type: ignore[arg-type]
            expected = t_noise.logpdf(x[t])
            np.testing.assert_allclose(found[t, k], expected, rtol=1e-10)


def test_with_t_noise_jumps_count_little():
    x, _ = simulated(0)
    jumpy = x.copy()
    jumpy[::25] += np.random.default_rng(1).normal(0, 30, jumpy[::25].shape)
    plain = HMM(1, covariance="full").fit([x], [np.full(len(x), -1)])
    away = {}
    for freedom in (None, 2.0):
        model = HMM(1, covariance="full", freedom=freedom)
        model.fit([jumpy], [np.full(len(x), -1)])
        scale = model.noise_[0] * np.outer(model.scaler_.deviation_, model.scaler_.deviation_)
        true = plain.noise_[0] * np.outer(plain.scaler_.deviation_, plain.scaler_.deviation_)
        away[freedom] = np.trace(scale) / np.trace(true)
    assert away[None] > 4
    assert 0.3 < away[2.0] < 1


def simulated(seed: int, frames: int = 300, channels: int = 2):
    """Return a sequence of two autoregressive states, and the states."""
    rng = np.random.default_rng(seed)
    y = (np.cumsum(rng.random(frames) < 0.05) % 2).astype(int)
    x = np.zeros((frames, channels))
    for t in range(1, frames):
        x[t] = (0.95, -0.5)[y[t]] * x[t - 1] + (0.3, -0.3)[y[t]] + 0.3 * rng.normal(size=channels)
    return x, y


@settings(deadline=None, max_examples=15)
@given(
    st.integers(0, 10_000),
    st.sampled_from([0, 1, 2]),
    st.sampled_from(["full", "diagonal"]),
    st.sampled_from([0.0, 0.1, 1.0]),
    st.sampled_from([0.0, 20.0]),
    st.sampled_from([None, 1.0, 5.0]),
)
def test_objective_never_falls(seed, lags, covariance, labelled, stickiness, freedom):
    rng = np.random.default_rng(seed)
    some = [simulated(seed + i, frames) for i, frames in enumerate((80, 3, 50))]
    codes = [np.where(rng.random(len(y)) < labelled, y, -1) for _, y in some]
    model = ARHMM(
        4, lags, covariance, freedom, stickiness=stickiness, max_iterations=15, tolerance=0.0
    ).fit([x for x, _ in some], codes)
    assert len(model.objectives_) > 1
    assert np.diff(model.objectives_).min() > -1e-7 * abs(model.objectives_[0])


def test_maximum_is_stationary():
    x, _ = simulated(0)
    model = ARHMM(2, max_iterations=500, tolerance=1e-12).fit([x], [np.full(len(x), -1)])

    def objective() -> float:
        return model.log_likelihood([x]) + model._log_prior() + model._log_chain_prior()

    best = objective()
    rng = np.random.default_rng(0)
    for name in ("weights_", "noise_"):
        kept = getattr(model, name)
        for _ in range(5):
            step = rng.normal(size=kept.shape) * 1e-3
            setattr(model, name, kept + (step + step.swapaxes(1, 2) if name == "noise_" else step))
            assert objective() < best + 1e-6
        setattr(model, name, kept)


def test_states_are_found_without_labels_and_stand_for_classes():
    x, y = zip(*(simulated(i) for i in range(4)), strict=True)
    model = ARHMM(2, labels="one to one", stickiness=10, n_init=2).fit(x[:2], y[:2])
    assert model.score(x[2:], y[2:]) > 0.9
    assert sorted(model.state_classes_) == [0, 1]
    many = ARHMM(6, labels="majority").fit(x[:2], y[:2])
    assert many.score(x[2:], y[2:]) > 0.8


def test_labels_clamp_states():
    x, y = simulated(0)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=x.shape), rng.integers(2, size=len(y))  # nothing that data would say
    model = HMM(4)
    model.fit([x], [y])
    allowed = np.where(y[:, None] == np.arange(4) % 2, 0.0, -np.inf)
    found = model._expect(model._projected([x]), [allowed])
    assert (found.states[0][~np.isfinite(allowed)] == 0).all()


def test_few_labels_name_the_states():
    x, y = zip(*(simulated(i) for i in range(4)), strict=True)
    few = [np.where(np.arange(len(each)) % 40 < 2, each, -1) for each in y]
    model = ARHMM(4, stickiness=10).fit(x[:2], few[:2])
    assert model.score(x[2:], y[2:]) > 0.9


def test_a_class_without_labels_is_never_predicted():
    x, y = simulated(0)
    model = HMM(6).fit([x], [np.where(y == 0, 0, 2)], classes=["a", "b", "c"])
    assert model.absent_ == ("b",)
    assert model.predict_proba([x])[0][:, 1].max() < 1e-9


def test_classes_are_the_states_without_labels():
    x, y = simulated(0)
    model = HMM(3).fit([x], [np.full(len(y), -1)])
    assert model.classes_ == ("state 0", "state 1", "state 2")
    found = model.predict_proba([x, x[:1]])
    assert [each.shape for each in found] == [(300, 3), (1, 3)]
    np.testing.assert_allclose(found[0], model.state_proba([x])[0], atol=1e-10)
    np.testing.assert_allclose(found[0].sum(axis=1), 1)


def test_path_is_the_best_of_all():
    x, _ = simulated(0, 120)
    model = ARHMM(3).fit([x], [np.full(120, -1)])
    density = model._densities(model._projected([x[:5]])[0])
    scores = {}
    for path in product(range(3), repeat=5):
        score = np.log(model.initial_[path[0]]) + density[np.arange(5), path].sum()
        scores[path] = score + np.log(model.transitions_)[path[:-1], path[1:]].sum()
    assert tuple(model.most_probable_states([x[:5]])[0]) == max(scores, key=scores.__getitem__)
    evidence = logsumexp(list(scores.values()))
    np.testing.assert_allclose(model.log_likelihood([x[:5]]), evidence, rtol=1e-10)


def test_sequences_do_not_reach_into_each_other():
    x, y = zip(*(simulated(i, 60) for i in range(3)), strict=True)
    model = ARHMM(2, 2, stickiness=5).fit(x, y)
    together = model.predict_proba(x)
    broken = [x[0], np.full_like(x[1], np.nan), x[2]]
    for each, one, beside in zip(x, together, model.predict_proba(broken), strict=True):
        np.testing.assert_allclose(one, model.predict_proba([each])[0], atol=1e-9)
        if each is not x[1]:
            np.testing.assert_allclose(one, beside, atol=1e-9)


def test_long_sequences_are_fitted_in_stretches_and_inferred_whole():
    x, y = simulated(0, 2500)
    model = ARHMM(4, labels="majority", max_iterations=5).fit([x], [y])
    pieces = ARHMM(4, labels="majority", max_iterations=5).fit(
        np.array_split(x, 3), np.array_split(y, 3)
    )
    np.testing.assert_array_equal(model.weights_, pieces.weights_)
    whole = model.state_proba([x])[0]
    x[2000] += 1
    assert np.abs(model.state_proba([x])[0][1990:2000] - whole[1990:2000]).max() > 0


@pytest.mark.parametrize("cls", [HMM, ARHMM])
def test_saved_and_repeated(tmp_path, cls):
    x, y = simulated(0)
    model = cls(4, labels="majority", n_components=1, random_state=3).fit([x], [y])
    model.save(tmp_path / "model")
    again = cls(4, labels="majority", n_components=1, random_state=3).fit([x], [y])
    for other in (cls.load(tmp_path / "model"), again):
        np.testing.assert_array_equal(other.predict_proba([x])[0], model.predict_proba([x])[0])
    assert cls.load(tmp_path / "model").classes_ == model.classes_


class TestRefused:
    def test_fewer_states_than_classes(self):
        x, y = simulated(0)
        with pytest.raises(ConfigError, match="n_states: expected at least one for each"):
            HMM(1).fit([x], [y])

    @pytest.mark.parametrize(
        "setting",
        [{"labels": "none"}, {"stickiness": -1}, {"prior_frames": 0}, {"lags": -1}, {"n_init": 0}],
    )
    def test_settings(self, setting):
        x, y = simulated(0)
        with pytest.raises(ConfigError, match=next(iter(setting))):
            ARHMM(2, **setting).fit([x], [y])

    def test_more_components_than_channels(self):
        x, y = simulated(0)
        with pytest.raises(DataError, match="n_components: expected 1 to 2"):
            HMM(2, n_components=3).fit([x], [y])

    def test_more_states_than_frames(self):
        with pytest.raises(DataError, match="3 frames are too few"):
            HMM(5).fit([np.eye(3)], [np.full(3, -1)])
