"""The bilinear decoder: ridge at full rank, brute force below it, shared against single fits."""

import numpy as np
import pytest
import torch

from tinbergen.encoding import BilinearDecoder
from tinbergen.encoding.bilinear_decoder import _alternate, _Standard
from tinbergen.errors import ConfigError, DataError
from tinbergen.metrics import r2


def animal(seed, trials=60, bins=10, units=8, rank=2, noise=0.3):
    """Return counts and a behaviour that reads them by a course over time shared by animals."""
    t = np.linspace(0, 1, bins)
    lag = t[:, None] - t
    courses = [np.exp(-((lag - c) ** 2) / 0.02) for c in (-0.1, 0.2)][:rank]
    rng = np.random.default_rng(seed)
    loadings = rng.normal(size=(units, rank))
    x = rng.poisson(1.0, size=(trials, bins, units))
    clean = np.einsum("ktn,nr,rtd->kd", x, loadings, courses)
    y = clean + noise * clean.std() * rng.normal(size=clean.shape)
    return x, y[..., None], clean[..., None]


def standard(seed, **options):
    x, y, _ = animal(seed, **options)
    x, y = x - x.mean(axis=0), y[..., 0] - y[..., 0].mean(axis=0)
    return _Standard(x, y)


def test_full_rank_is_ridge():
    data = standard(0, units=4)
    found = _alternate([data], 4, 3.0, 5, 0.0)
    flat = data.x.reshape(60, -1)
    ridge = np.linalg.solve(flat.T @ flat + 3.0 * np.eye(40), flat.T @ data.y)
    weights = np.einsum("nr,rtd->tnd", found.loadings[0], found.basis).reshape(40, -1)
    np.testing.assert_allclose(weights, ridge, atol=1e-6)


@pytest.mark.parametrize("rank", [1, 2])
def test_reaches_the_optimum_of_a_gradient_search(rank):
    sessions = [standard(seed, trials=30, bins=5, units=4) for seed in (0, 1)]
    found = _alternate(sessions, rank, 2.0, 300, 1e-12)
    torch.manual_seed(0)
    v = torch.randn(rank, 5, 5, dtype=torch.float64, requires_grad=True)
    us = [torch.randn(4, rank, dtype=torch.float64, requires_grad=True) for _ in sessions]
    search = torch.optim.LBFGS(
        [v, *us], max_iter=3000, line_search_fn="strong_wolfe", tolerance_change=1e-13
    )
    pairs = [(torch.tensor(s.x), torch.tensor(s.y)) for s in sessions]

    def loss():
        search.zero_grad()
        total = torch.zeros(())
        for (x, y), u in zip(pairs, us, strict=True):
            weights = torch.einsum("nr,rtd->tnd", u, v)
            error = y - torch.einsum("ktn,tnd->kd", x, weights)
            total = total + (error**2).sum() + 2.0 * (weights**2).sum()
        total.backward()
        return total

    search.step(loss)
    assert found.objective <= float(loss().detach()) * (1 + 1e-6)


def test_never_rises():
    data = [standard(seed) for seed in range(2)]
    objectives = [_alternate(data, 2, 1.0, n, 0.0).objective for n in range(1, 8)]
    assert (np.diff(objectives) <= 1e-7 * objectives[0]).all()


def test_animals_with_a_shared_reading_help_each_other():
    data = [animal(seed, trials=30, units=20, noise=2.0) for seed in range(6)]
    tests = [animal(seed, trials=130, units=20, noise=2.0) for seed in range(6)]
    shared = BilinearDecoder(2, (10.0, 100.0, 1000.0)).fit(
        [d[0] for d in data], [d[1] for d in data]
    )
    together = shared.predict([t[0] for t in tests])
    gains = []
    for (x, y, _), test, decoded in zip(data, tests, together, strict=True):
        alone = BilinearDecoder(2, (10.0, 100.0, 1000.0)).fit(x, y).predict(test[0])
        gains.append(r2(test[2], decoded)[0] - r2(test[2], alone)[0])
    assert np.mean(gains) > 0.02 and sum(gain > 0 for gain in gains) >= 5
    new = animal(9, trials=25, units=20, noise=2.0)
    test, _, clean = animal(9, trials=200, units=20, noise=2.0)
    scores = [
        r2(clean, model.predict(test))[0]
        for model in (shared.adapt(*new[:2]), BilinearDecoder(2).fit(*new[:2]))
    ]
    assert scores[0] > scores[1]


def test_shapes_missing_trials_saving_and_refusals(tmp_path):
    x, y, _ = animal(0)
    one = BilinearDecoder((1, 2), (1.0, 10.0)).fit(x, y[:, 0, 0])
    assert one.predict(x).shape == (60,) and one.basis_.shape[1:] == (10, 1)
    holes = y.copy()
    holes[3, 4] = np.nan
    model = BilinearDecoder((1, 2, 50), (1.0, 10.0)).fit(x, holes)
    assert model.n_left_out_ == 1 and model.predict(x).shape == y.shape
    model.save(tmp_path / "model")
    again = BilinearDecoder.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    with pytest.raises(DataError, match="same trials"):
        model.fit(x, y[1:])
    with pytest.raises(DataError, match="same targets"):
        model.fit([x, x], [y, y[:, :3]])
    with pytest.raises(ConfigError, match="ranks"):
        BilinearDecoder(0).fit(x, y)
    with pytest.raises(DataError, match="time, unit"):
        one.predict(x[..., :3])
