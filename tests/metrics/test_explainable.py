import numpy as np
import pytest

from tinbergen.errors import DataError
from tinbergen.metrics import checkerboard, peer_prediction, r2

TRAIN, TEST = np.arange(2000), np.arange(2000, 3000)


def population(n=3000, units=60, latents=4, signal=1.0, seed=0):
    """Units that share latents and have noise of their own; half of their variance is shared."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(latents, units))
    weights /= np.linalg.norm(weights, axis=0)
    return signal * rng.normal(size=(n, latents)) @ weights + rng.normal(size=(n, units))


def test_peers_find_the_shared_half_of_the_variance():
    x = population()
    found = peer_prediction(x, TRAIN, TEST)
    assert found.pooled == pytest.approx(0.45, abs=0.06)  # 0.5 if the latents were known
    assert found.explainable.mean() == pytest.approx(0.45, abs=0.06)
    assert found.halves.sum() == 30


def test_nothing_shared_is_nothing_explained():
    x = population(signal=0.0)
    found = peer_prediction(x, TRAIN, TEST)
    assert abs(found.pooled) < 0.02


def test_a_model_that_knows_the_latents_gets_about_all_of_it():
    x = population(n=4000)
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(4, 60))
    weights /= np.linalg.norm(weights, axis=0)
    signal = rng.normal(size=(4000, 4)) @ weights
    test = np.arange(4000) >= 3000
    found = peer_prediction(x, ~test, test, positions=np.arange(60) * 100.0)
    share = found.normalised(r2(x[test], signal[test]))
    assert np.nanmean(share) == pytest.approx(1.1, abs=0.1)
    least = found.normalised(np.ones(60), least=2.0)
    assert np.isnan(least).all()


def test_squares_of_the_checkerboard():
    x, y = np.meshgrid(np.arange(0, 800, 50.0), np.arange(0, 800, 50.0))
    halves = checkerboard(np.stack([x.ravel(), y.ravel()], 1)).reshape(16, 16)
    assert not halves[:4, :4].any()
    assert halves[:4, 4:8].all()
    assert halves.sum() == 128
    assert checkerboard([10.0, 190.0, 210.0]).tolist() == [False, False, True]
    assert checkerboard([[-10.0, 0.0]]).tolist() == [True]


def test_silent_units_and_what_is_refused():
    x = population()
    x[:, 7] = 0
    assert np.isnan(peer_prediction(x, TRAIN, TEST).explainable[7])
    with pytest.raises(DataError, match="1 missing"):
        peer_prediction(np.array([[np.nan, 1.0]]), [0], [0])
    with pytest.raises(DataError, match="two halves"):
        peer_prediction(x, TRAIN, TEST, halves=np.zeros(60, bool))
    with pytest.raises(DataError, match="1 of 2 units have no position"):
        checkerboard([np.nan, 1.0])
