import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tinbergen.encoding import PSTH, MeanRate
from tinbergen.errors import ConfigError, DataError
from tinbergen.metrics.poisson import bits_per_spike

X = np.zeros((30, 20, 1))


def trials(seed=0, depth=1.0, n=30):
    rng = np.random.default_rng(seed)
    truth = np.exp(depth * np.sin(np.arange(20) / 3)[:, None] + np.array([-1.0, 0.5]))
    return rng.poisson(truth, size=(n, 20, 2)), truth


class TestMeanRate:
    def test_is_the_mean(self):
        y = trials()[0].astype(float)
        assert_allclose(MeanRate().fit(X, y).predict(X[:3]), np.tile(y.mean((0, 1)), (3, 20, 1)))
        assert MeanRate().fit(X[0], y[0, :, 0]).predict(X[0]).shape == (20,)

    def test_unknown_values_are_left_out(self):
        y = trials()[0].astype(float)
        y[0, 0, 0] = np.nan
        model = MeanRate().fit(X, y)
        assert model.n_left_out_ == 1
        assert_allclose(model.mean_, np.nanmean(y, axis=(0, 1)))


class TestPSTH:
    def test_is_the_average_over_trials(self):
        y, _ = trials()
        model = PSTH(sigmas=(0,)).fit(X, y)
        mean = y.mean(axis=(0, 1))
        assert_allclose(model.predict(X)[5], (y.sum(axis=0) + mean) / 31)

    def test_smoothing_comes_near_the_truth(self):
        y, truth = trials(depth=0.5, n=10)
        test, _ = trials(seed=1, depth=0.5, n=200)
        rough, smooth = PSTH(sigmas=(0,)).fit(X[:10], y), PSTH().fit(X[:10], y)
        assert smooth.sigma_ > 0
        rates = [np.broadcast_to(m.predict(X[:1]), test.shape) for m in (rough, smooth)]
        score = [
            bits_per_spike(test, r, "mean").mean() for r in (*rates, np.tile(truth, (200, 1, 1)))
        ]
        assert score[0] < score[1] < score[2]

    def test_flat_rates_are_smoothed_as_far_as_can_be(self):
        y, _ = trials(depth=0.0)
        assert PSTH().fit(X, y).sigma_ >= 8

    def test_conditions(self):
        y, _ = trials()
        sides = np.where(np.arange(30) % 2, "left", "right")
        y[sides == "left"] *= 3
        model = PSTH(sigmas=(0,)).fit(X, y, conditions=sides)
        predicted = model.predict(X[:3], conditions=["left", "right", "up"])
        assert_allclose(predicted[0], (y[1::2].sum(axis=0) + model.mean_) / 16)
        assert_allclose(predicted[1], (y[::2].sum(axis=0) + model.mean_) / 16)
        assert_allclose(predicted[2], (y.sum(axis=0) + model.mean_) / 31)
        with pytest.raises(DataError, match="predict needs conditions"):
            model.predict(X)
        with pytest.raises(DataError, match="each of 30 trials"):
            model.fit(X, y, conditions=sides[:4])

    def test_segments_of_different_lengths(self):
        y = np.array([1.0, 2, 3, 5, 6, np.nan])[:, None]
        segments = [0, 0, 0, 1, 1, 2]
        model = PSTH(sigmas=(0,)).fit(np.zeros((6, 1)), y, segments=segments)
        mean = 17 / 5
        assert model.n_left_out_ == 1
        assert_allclose(model.rates_[0, :, 0], [(6 + mean) / 3, (8 + mean) / 3, (3 + mean) / 2])
        assert_allclose(model.predict(np.zeros((5, 1)))[3:, 0], mean)

    def test_save_and_load_bit_for_bit(self, tmp_path):
        y, _ = trials()
        sides = np.where(np.arange(30) % 2, "left", "right")
        for i, model in enumerate([PSTH().fit(X, y, conditions=sides), MeanRate().fit(X, y)]):
            model.save(tmp_path / str(i))
            back = type(model).load(tmp_path / str(i))
            more = {"conditions": sides} if isinstance(model, PSTH) else {}
            assert_array_equal(back.predict(X, **more), model.predict(X, **more))

    def test_refusals(self):
        with pytest.raises(ConfigError, match="widths >= 0"):
            PSTH(sigmas=()).fit(X, trials()[0])
        with pytest.raises(DataError, match="only NaN"):
            PSTH().fit(X, np.full((30, 20, 2), np.nan))
