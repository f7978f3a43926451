"""The bilinear encoder against brute force, its invariances, and shared against single fits."""

import numpy as np
import pytest
import torch

from tinbergen.encoding import BilinearRRR
from tinbergen.encoding.bilinear_als import CentredTrials, fit_factors
from tinbergen.errors import ConfigError, DataError, NotFittedError
from tinbergen.metrics import bits_per_spike, r2


def session(seed, trials=40, bins=8, features=4, units=3, rank=2, noise=0.5, basis=None):
    """Return inputs, continuous targets, and the noiseless targets of a bilinear animal."""
    rng = np.random.default_rng(seed)
    if basis is None:
        basis = np.random.default_rng(99).normal(size=(rank, bins))
    u = rng.normal(size=(len(basis), features, units))  # of a seed the same for any `trials`
    x = rng.normal(size=(trials, bins, features))
    clean = np.einsum("ktc,rcn,rt->ktn", x, u, basis)
    return x, clean + noise * rng.normal(size=clean.shape), clean


def centred(x, y):
    x, y = (a.transpose(1, 0, 2).copy() for a in (x, y))
    return CentredTrials(x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True))


def objective(data, basis, loadings, l2):
    weights = np.einsum("rcn,rt->tcn", loadings, basis)
    return ((data.y - data.x @ weights) ** 2).sum() + l2 * (weights**2).sum()


@pytest.mark.parametrize("rank", [1, 2])
def test_reaches_the_optimum_of_a_gradient_search(rank):
    sessions = [centred(*session(seed)[:2]) for seed in (0, 1)]
    found = fit_factors(sessions, rank, 3.0, sweeps=500, tolerance=1e-12)
    torch.manual_seed(0)
    v = torch.randn(rank, 8, dtype=torch.float64, requires_grad=True)
    us = [torch.randn(rank, 4, 3, dtype=torch.float64, requires_grad=True) for _ in sessions]
    search = torch.optim.LBFGS(
        [v, *us], max_iter=2000, line_search_fn="strong_wolfe", tolerance_change=1e-13
    )
    pairs = [(torch.tensor(s.x), torch.tensor(s.y)) for s in sessions]

    def loss():
        search.zero_grad()
        weights = [torch.einsum("rcn,rt->tcn", u, v) for u in us]
        total = torch.zeros(())
        total = total + sum(
            ((y - x @ w) ** 2).sum() + 3.0 * (w**2).sum()
            for (x, y), w in zip(pairs, weights, strict=True)
        )
        total.backward()
        return total

    search.step(loss)
    assert found.objective <= float(loss().detach()) * (1 + 1e-7)
    said = sum(
        objective(s, found.basis, u, 3.0) for s, u in zip(sessions, found.loadings, strict=True)
    )
    assert said == pytest.approx(found.objective, rel=1e-10)


def test_never_rises_and_is_deterministic():
    data = [centred(*session(0)[:2])]
    objectives = [
        fit_factors(data, 2, 1.0, sweeps=n, tolerance=0.0).objective for n in range(1, 12)
    ]
    assert (np.diff(objectives) <= 1e-9 * objectives[0]).all()
    again = fit_factors(data, 2, 1.0, sweeps=11, tolerance=0.0)
    assert again.objective == objectives[-1]


def test_one_bin_is_ridge():
    x, y, _ = session(0, bins=1, rank=1)
    data = centred(x, y)
    found = fit_factors([data], 1, 2.0, sweeps=5, tolerance=0.0)
    ridge = np.linalg.solve(data.x[0].T @ data.x[0] + 2.0 * np.eye(4), data.x[0].T @ data.y[0])
    np.testing.assert_allclose(found.loadings[0][0] * found.basis[0, 0], ridge, atol=1e-10)


def test_full_rank_is_a_ridge_for_each_bin():
    data = centred(*session(0)[:2])
    found = fit_factors([data], 8, 2.0, sweeps=3, tolerance=0.0)
    weights = np.einsum("rcn,rt->tcn", found.loadings[0], found.basis)
    for x, y, weight in zip(data.x, data.y, weights, strict=True):
        ridge = np.linalg.solve(x.T @ x + 2.0 * np.eye(4), x.T @ y)
        np.testing.assert_allclose(weight, ridge, atol=1e-9)


def test_basis_is_orthonormal_strongest_first_and_turnable():
    found = fit_factors([centred(*session(0)[:2])], 3, 1.0, sweeps=20, tolerance=0.0)
    np.testing.assert_allclose(found.basis @ found.basis.T, np.eye(3), atol=1e-10)
    u = found.loadings[0].reshape(3, -1)
    gram = u @ u.T
    np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-8)
    assert (np.diff(np.diag(gram)) <= 0).all()
    turn = np.random.default_rng(0).normal(size=(3, 3))
    turned = np.einsum("rs,scn->rcn", np.linalg.inv(turn).T, found.loadings[0])
    np.testing.assert_allclose(
        np.einsum("rcn,rt->tcn", turned, turn @ found.basis),
        np.einsum("rcn,rt->tcn", found.loadings[0], found.basis),
        atol=1e-10,
    )


def counts(seed, trials, bins=30, basis=None):
    """Return inputs, counts and rates of an animal whose gain follows ``basis`` over the trial."""
    x, _, drive = session(seed, trials, bins, 6, 15, basis=basis, noise=0)
    rates = 0.5 * np.exp(np.clip(0.6 * drive / drive.std(), -1.5, 1.5))
    return x, np.random.default_rng(seed + 100).poisson(rates), rates


def smooth_basis(bins=30):
    t = np.linspace(0, 1, bins)
    return np.stack([np.exp(-((t - 0.3) ** 2) / 0.02), np.exp(-((t - 0.7) ** 2) / 0.01)])


def test_sessions_with_a_shared_basis_help_each_other():
    # Few trials each, where one time course for all is worth most.
    data = [counts(seed, 16, basis=smooth_basis()) for seed in range(5)]
    tests = [counts(seed, 150, basis=smooth_basis()) for seed in range(5)]  # the same animals
    options = {"rank": 2, "l2": (3.0, 30.0), "smooth": 2.0}
    xs, ys, _ = (list(part) for part in zip(*data, strict=True))
    shared = BilinearRRR(**options).fit(xs, ys)
    together = shared.predict([t[0] for t in tests])
    gains = []
    for (x, y, _), test, rates in zip(data, tests, together, strict=True):
        alone = BilinearRRR(**options).fit(x, y).predict(test[0])
        own, joint = (bits_per_spike(test[1], r, "mean").mean() for r in (alone, rates))
        gains.append(joint - own)
    assert np.mean(gains) > 0.01
    assert sum(gain > 0 for gain in gains) >= 4


def test_a_new_animal_with_few_trials_joins():
    data = [counts(seed, 80, basis=smooth_basis()) for seed in range(4)]
    shared = BilinearRRR(2, 10.0).fit([d[0] for d in data], [d[1] for d in data])
    x, y, _ = counts(9, 12, basis=smooth_basis())
    test, truth, _ = counts(9, 200, basis=smooth_basis())
    before = shared.basis_.copy()
    adapted = shared.adapt(x, y)
    alone = BilinearRRR(2, 10.0).fit(x, y)
    scores = [bits_per_spike(truth, m.predict(test), "mean").mean() for m in (adapted, alone)]
    assert scores[0] > scores[1] + 0.01
    np.testing.assert_array_equal(shared.basis_, before)
    assert len(shared.sessions_) == 4 and len(adapted.sessions_) == 1


def test_chooses_rank_and_penalty_and_recovers_continuous_targets():
    x, y, clean = session(0, trials=120, bins=12, rank=2, noise=1.0)
    model = BilinearRRR(rank=(1, 2, 6), l2=(0.1, 1.0, 1e4), smooth=0).fit(x[:90], y[:90])
    assert model.rank_ == 2 and model.l2_ < 1e4 and model.kind_ == "continuous"
    assert r2(clean[90:], model.predict(x[90:])).mean() > 0.95


def test_calibration_and_floor_of_counts():
    x, y, rates = counts(0, 100)
    test, truth, _ = counts(0, 200)
    plain, better = (BilinearRRR(2, 10.0, calibrate=c).fit(x, y) for c in (False, True))
    assert plain.predict(test).min() >= 1e-3 * (1 - 1e-6)
    scores = [bits_per_spike(truth, m.predict(test), "mean").mean() for m in (plain, better)]
    assert scores[1] > scores[0]


def test_missing_rows_are_left_out_and_counted():
    x, y, clean = session(0, trials=150, noise=0.2)
    holes = x.copy()
    holes[3, 2] = np.nan
    wrong = y.copy()
    wrong[7, 1, 0] = np.nan
    model = BilinearRRR(2, 0.1, smooth=0, per_bin=False).fit(holes, wrong)
    assert model.n_left_out_ == 2
    predicted = model.predict(holes)
    assert np.isnan(predicted[3, 2]).all() and np.isnan(predicted).sum() == 3
    assert r2(clean[10:], predicted[10:]).mean() > 0.98


def test_segments_of_equal_length_are_trials(tmp_path):
    x, y, _ = session(0)
    trials = BilinearRRR(2, 1.0).fit(x, y)
    segments = np.repeat(np.arange(40), 8)
    flat = BilinearRRR(2, 1.0).fit(x.reshape(-1, 4), y.reshape(-1, 3), segments=segments)
    np.testing.assert_array_equal(
        flat.predict(x.reshape(-1, 4), segments=segments), trials.predict(x).reshape(-1, 3)
    )
    with pytest.raises(DataError, match="same number of bins"):
        BilinearRRR().fit(x.reshape(-1, 4), y.reshape(-1, 3), segments=np.arange(320) // 9)


def test_saved_and_loaded(tmp_path):
    data = [counts(seed, 30) for seed in range(2)]
    xs, ys = [d[0] for d in data], [d[1] for d in data]
    model = BilinearRRR(2, (1.0, 10.0)).fit(xs, ys)
    model.save(tmp_path / "model")
    again = BilinearRRR.load(tmp_path / "model")
    for a, b in zip(model.predict(xs), again.predict(xs), strict=True):
        np.testing.assert_array_equal(a, b)
    assert again.parameters == model.parameters and again.l2_ == model.l2_


def test_refusals():
    x, y, _ = session(0)
    with pytest.raises(NotFittedError):
        BilinearRRR().predict(x)
    with pytest.raises(ConfigError, match="rank"):
        BilinearRRR(rank=9).fit(x, y)
    with pytest.raises(ConfigError, match="l2"):
        BilinearRRR(l2=0).fit(x, y)
    with pytest.raises(DataError, match="list with an item"):
        BilinearRRR().fit([x, x], [y])
    with pytest.raises(DataError, match="same number of bins"):
        BilinearRRR().fit([x, x[:, :5]], [y, y[:, :5]])
    model = BilinearRRR(2, 1.0).fit([x, x], [y, y])
    with pytest.raises(DataError, match="which one"):
        model.predict(x)
    with pytest.raises(DataError, match="Expected trials of"):
        model.predict(x[..., :2], session=0)
