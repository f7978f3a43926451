"""Switching linear dynamical system: its bound, and the states that it finds."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm

from tinbergen.actions.slds import SLDS
from tinbergen.errors import ConfigError


def with_parameters(seed: int, n_states: int, n_latents: int, channels: int) -> SLDS:
    """Return a model whose parameters were drawn, not fitted."""
    rng = np.random.default_rng(seed)
    model = SLDS(n_states, n_latents, max_iterations=1)
    root = rng.normal(size=(n_states, n_latents, n_latents)) * 0.3
    model.weights_ = rng.normal(size=(n_states, n_latents, n_latents + 1)) * 0.7
    model.noise_ = root @ root.swapaxes(1, 2) + 0.1 * np.eye(n_latents)
    model.loading_ = rng.normal(size=(channels, n_latents + 1))
    model.observation_noise_ = rng.uniform(0.1, 0.5, channels)
    model.start_, model.start_noise_ = rng.normal(size=n_latents), np.eye(n_latents) * 0.8
    model.initial_ = rng.dirichlet(np.ones(n_states))
    model.transitions_ = rng.dirichlet(np.ones(n_states), n_states)
    return model


def published() -> SLDS:
    model = with_parameters(0, 2, 1, 1)
    model.weights_, model.noise_ = np.array([[[0.9, 0.1]], [[-0.5, 0.0]]]), np.zeros((2, 1, 1))
    model.noise_[:, 0, 0] = 0.1, 0.2
    model.loading_, model.observation_noise_ = np.array([[1.0, 0.0]]), np.array([0.25])
    model.start_, model.start_noise_ = np.zeros(1), np.eye(1)
    model.transitions_ = np.array([[0.6, 0.4], [0.6, 0.4]])
    return model


def log_of_paths(model: SLDS, x: np.ndarray) -> dict[tuple[int, ...], float]:
    """Return log p(x, path) of every path of states: with states known, the bound is exact."""
    found = {}
    for path in product(range(model.n_states), repeat=len(x)):
        known = np.where(np.eye(model.n_states)[list(path)] > 0, 0.0, -np.inf)
        found[path] = model._expect([x], [known]).bound
    return found


class TestPublishedNumbers:
    x = np.array([[0.3], [-0.2]])

    def test_evidence_and_posterior(self):
        paths = log_of_paths(published(), self.x)
        np.testing.assert_allclose(logsumexp(list(paths.values())), -1.795975498, atol=1e-9)
        second = [logsumexp([v for p, v in paths.items() if p[1] == k]) for k in range(2)]
        chance = np.exp(second - logsumexp(second))
        np.testing.assert_allclose(chance, [0.53494076, 0.46505924], atol=1e-8)
        uniform = np.mean(second) + np.log(2)
        np.testing.assert_allclose(uniform, -1.798423193, atol=1e-9)

    def test_bound(self):
        """The best of all factorised posteriors, their latents summed on a grid."""
        grid = np.linspace(-5, 5, 501)
        z1, z2 = np.meshgrid(grid, grid, indexing="ij")
        joint = norm.logpdf(z1) + norm.logpdf(0.3, z1, 0.5) + norm.logpdf(-0.2, z2, 0.5)
        moved = [norm.logpdf(z2, 0.9 * z1 + 0.1, 0.1**0.5), norm.logpdf(z2, -0.5 * z1, 0.2**0.5)]
        bounds = []
        for q in np.linspace(0.02, 0.98, 33):
            latents = logsumexp(joint + q * moved[0] + (1 - q) * moved[1]) + 2 * np.log(0.02)
            bounds.append(latents + q * np.log(0.6 / q) + (1 - q) * np.log(0.4 / (1 - q)))
        bound = published()._expect([self.x], [np.zeros((2, 2))]).bound
        np.testing.assert_allclose(bound, max(bounds), atol=2e-3)
        assert bound <= -1.795975498


@pytest.mark.parametrize(("frames", "n_latents", "channels"), [(1, 1, 2), (3, 2, 2), (4, 2, 1)])
def test_bound_is_the_evidence_where_states_are_known(frames, n_latents, channels):
    model = with_parameters(frames, 2, n_latents, channels)
    x, d = np.random.default_rng(9).normal(size=(frames, channels)), n_latents
    C, offset = model.loading_[:, :d], model.loading_[:, d]
    for path, found in log_of_paths(model, x).items():
        # Latents as sums of independent noises: z = M noise + m.
        mean, covariance = np.zeros((frames, d)), np.zeros((frames, d, frames, d))
        for t, k in enumerate(path):
            if t == 0:
                mean[0], covariance[0, :, 0] = model.start_, model.start_noise_
                continue
            A, b = model.weights_[k, :, :d], model.weights_[k, :, d]
            mean[t] = A @ mean[t - 1] + b
            covariance[t, :, :t] = np.einsum("ij,jtk->itk", A, covariance[t - 1, :, :t])
            covariance[:t, :, t] = np.moveaxis(covariance[t, :, :t], 0, 2)
            covariance[t, :, t] = A @ covariance[t - 1, :, t - 1] @ A.T + model.noise_[k]
        seen = np.einsum("ci,tisj,dj->tcsd", C, covariance, C).reshape(frames * channels, -1)
        seen = seen + np.diag(np.tile(model.observation_noise_, frames))
        expected = multivariate_normal((mean @ C.T + offset).ravel(), seen).logpdf(x.ravel())
        expected += np.log(model.initial_[path[0]])
        expected += sum(
            np.log(model.transitions_[i, j]) for i, j in zip(path, path[1:], strict=False)
        )
        np.testing.assert_allclose(found, expected, rtol=1e-9)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 2), st.integers(2, 3))
def test_bound_is_below_the_evidence(seed, frames, n_latents, n_states):
    model = with_parameters(seed, n_states, n_latents, 2)
    x = np.random.default_rng(seed).normal(size=(frames, 2)) * 2
    evidence = logsumexp(list(log_of_paths(model, x).values()))
    assert model._expect([x], [np.zeros((frames, n_states))]).bound <= evidence + 1e-9


def turning(seed: int, frames: int = 300):
    """Return a sequence whose hidden point turns left or right, in which frames, and no noise."""
    rng = np.random.default_rng(seed)
    y = (np.cumsum(rng.random(frames) < 0.02) % 2).astype(int)
    z = np.zeros((frames, 2))
    for t in range(1, frames):
        c, s = np.cos(turn := (0.4, -0.4)[y[t]]), np.sin(turn)
        z[t] = 0.98 * np.array([[c, -s], [s, c]]) @ z[t - 1] + 0.2 * rng.normal(size=2)
    loading = np.random.default_rng(0).normal(size=(2, 6))
    clean = z @ loading
    return clean + 0.5 * rng.normal(size=(frames, 6)), y, clean


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.1, 1.0]))
def test_objective_never_falls(seed, labelled):
    rng = np.random.default_rng(seed)
    x, y, _ = zip(
        *(turning(seed + i, frames) for i, frames in enumerate((60, 2, 1, 40))), strict=True
    )
    codes = [np.where(rng.random(len(each)) < labelled, each, -1) for each in y]
    model = SLDS(3, 2, max_iterations=12, tolerance=0.0).fit(x, codes)
    assert np.diff(model.objectives_).min() > -1e-7 * abs(model.objectives_[0])


def test_states_and_latents_are_found(tmp_path):
    x, y, clean = zip(*(turning(i) for i in range(4)), strict=True)
    few = [np.where(np.arange(len(each)) % 50 < 3, each, -1) for each in y]
    model = SLDS(2, 2, stickiness=10, max_iterations=30).fit(x[:2], few[:2])
    assert model.score(x[2:], y[2:]) > 0.9
    chain = model.latents(x[2:3])[0]
    seen = chain.mean @ model.loading_[:, :2].T + model.loading_[:, 2]
    assert np.corrcoef(seen.ravel(), clean[2].ravel())[0, 1] > 0.9
    assert np.corrcoef(x[2].ravel(), clean[2].ravel())[0, 1] < 0.85
    model.save(tmp_path / "model")
    again = SLDS.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict_proba(x[2:])[1], model.predict_proba(x[2:])[1])


def test_more_latents_than_features_are_refused():
    x, y, _ = turning(0)
    with pytest.raises(ConfigError, match="n_latents: expected 1 to 6, found 7"):
        SLDS(2, 7).fit([x], [y])


def race(frames: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return ten channels of two latents on a track of two bends and two straights, and where.

    After Linderman et al. 2017, "Bayesian learning and inference in recurrent switching linear
    dynamical systems", section 6.1 ("NASCAR").
    """
    rng = np.random.default_rng(seed)
    turn, centre = 2 * np.pi / 48, np.array([2.0, 0.0])
    bend = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    dynamics = [bend, bend, np.eye(2), np.eye(2)]
    offsets = [centre - bend @ centre, bend @ centre - centre, [-0.12, 0], [0.12, 0]]
    z, y = np.zeros((frames, 2)), np.full(frames, 3)
    z[0] = 0, -1
    for t in range(1, frames):
        along, side = z[t - 1]
        y[t] = 0 if along > 2 else 1 if along < -2 else 2 if side > 0 else 3
        z[t] = dynamics[y[t]] @ z[t - 1] + offsets[y[t]] + rng.normal(0, 0.01, 2)
    loading = np.random.default_rng(0).normal(size=(10, 2))
    return z @ loading.T + rng.normal(0, 0.05, (frames, 10)), y


def test_bends_and_straights_of_a_race_are_told_apart_without_labels():
    x, y = zip(*(race(1500, seed) for seed in range(3)), strict=True)
    model = SLDS(4, n_latents=2, stickiness=50, labels="one to one", n_init=2)
    model.fit(x[:2], y[:2])  # labels only say afterwards which state is which
    assert model.score(x[2:], y[2:]) > 0.95
