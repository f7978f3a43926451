"""Ridge, reduced rank and Poisson regression against closed forms and scikit-learn."""

import warnings

import numpy as np
import pytest
from lagged_oracle import lag_matrix, standardised
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import PoissonRegressor
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.metrics import mean_poisson_deviance

from tinbergen.encoding import PoissonGLM, ReducedRank, Ridge
from tinbergen.encoding.heldout import Calibration, HeldOutScore
from tinbergen.encoding.ridge import LagSettings, Spectrum
from tinbergen.errors import ConfigError, DataError, NotFittedError
from tinbergen.metrics.poisson import bits_per_spike

PLAIN = {"lags": (0, 0), "components": None}


def continuous(n=120, width=6, units=4, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(1, 2, size=(n, width))
    return x, x @ rng.normal(size=(width, units)) + rng.normal(size=(n, units))


def counts(n=600, width=5, units=6, seed=0, scale=0.3):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, width))
    rates = np.exp(x @ rng.normal(scale=scale, size=(width, units)) - 0.5)
    return x, rng.poisson(rates), rates


class TestRidge:
    def test_scalar_closed_form(self):
        # Mirrored, so that means are 0: 62 / (28 + 2), as 31 / (14 + 1) without an intercept.
        x = np.array([1.0, 2, 3, -1, -2, -3])[:, None]
        y = np.array([2.0, 4, 7, -2, -4, -7])
        alpha = 2 / x.var()
        model = Ridge((alpha,), **PLAIN).fit(x, y)
        assert_allclose(model.kernels().ravel(), 31 / 15)
        assert_allclose(Ridge((0.0,), **PLAIN).fit(x, y).kernels().ravel(), 31 / 14)

    @pytest.mark.parametrize("width", [6, 200])
    def test_equals_scikit_learn_with_lags(self, width):
        x, y = continuous(width=width)
        segments = np.repeat([0, 1, 2], 40)
        model = Ridge((3.0,), lags=(-1, 2), components=None).fit(x, y, segments=segments)
        z = lag_matrix(standardised(x), segments, (-1, 2))
        oracle = SklearnRidge(3.0).fit(z, y)
        assert_allclose(model.predict(x, segments=segments), oracle.predict(z), atol=1e-8)
        assert_allclose(model.coef_, oracle.coef_.T, atol=1e-8)

    def test_dual_equals_primal(self):
        x, y = continuous(n=60, width=40)
        design = LagSettings.of((0, 1), None, None)
        model = Ridge((2.0,), lags=(0, 1), components=None).fit(x, y)  # 80 columns, 60 rows
        z = lag_matrix(standardised(x), np.zeros(60), design.lags)
        z -= z.mean(axis=0)
        primal = np.linalg.solve(z.T @ z + 2 * np.eye(80), z.T @ (y - y.mean(axis=0)))
        assert_allclose(model.coef_, primal, atol=1e-9)

    def test_kernels_predict_from_raw_features(self):
        x, y = continuous()
        model = Ridge((3.0,), lags=(-1, 1), components=3).fit(x, y)
        lagged = lag_matrix(x - x.mean(axis=0), np.zeros(len(x)), (-1, 1))
        weights = model.kernels().reshape(-1, y.shape[1])
        assert_allclose(lagged @ weights + model.intercept_, model.predict(x), atol=1e-9)

    def test_basis_of_all_lags_is_no_basis(self):
        x, y = continuous()
        plain = Ridge((3.0,), lags=(-1, 2), components=4).fit(x, y)
        basis = Ridge((3.0,), lags=(-1, 2), components=4, basis=4).fit(x, y)
        assert_allclose(plain.predict(x), basis.predict(x), atol=1e-9)
        assert_allclose(plain.kernels(), basis.kernels(), atol=1e-9)
        assert Ridge((3.0,), lags=(-1, 2), basis=2).fit(x, y).kernels().shape == (4, 6, 4)

    def test_penalty_is_the_best_of_the_held_out_rows_of_a_fit_without_them(self):
        x, y = continuous(n=60, width=30, seed=3)
        held = np.arange(60) % 4 == 1
        alphas = (0.01, 1.0, 10.0, 100.0, 1e4)
        model = Ridge(alphas, **PLAIN).fit(x, y, validate=held)
        scores = []
        for alpha in alphas:
            one = Ridge((alpha,), **PLAIN).fit(x[~held], y[~held])
            scores.append(HeldOutScore(y[held], "continuous")(one.predict(x[held])))
        assert model.alpha_ == alphas[int(np.argmax(scores))]
        assert_allclose(model.validation_score_, max(scores))
        assert_allclose(model.predict(x), Ridge((model.alpha_,), **PLAIN).fit(x, y).predict(x))

    def test_trials_equal_segments(self):
        x, y = continuous()
        trials = Ridge(lags=(-2, 2)).fit(x.reshape(6, 20, 6), y.reshape(6, 20, 4))
        flat = Ridge(lags=(-2, 2)).fit(x, y, segments=np.repeat(np.arange(6), 20))
        assert trials.predict(x.reshape(6, 20, 6)).shape == (6, 20, 4)
        assert_array_equal(trials.coef_, flat.coef_)

    def test_a_vector_comes_back_as_one(self):
        x, y = continuous()
        assert Ridge((1.0,)).fit(x, y[:, 0]).predict(x).shape == (120,)
        cube, trials = x.reshape(6, 20, 6), y[:, 0].reshape(6, 20)
        assert Ridge((1.0,)).fit(cube, trials).predict(cube).shape == (6, 20)

    def test_calibration_lifts_bits_per_spike_and_keeps_rates_positive(self):
        x, y, rates = counts(n=3000)
        plain = Ridge(**PLAIN, calibrate=False).fit(x[:2000], y[:2000])
        model = Ridge(**PLAIN).fit(x[:2000], y[:2000])
        predicted = model.predict(x[2000:])
        assert (predicted > 0).all()
        score = [
            bits_per_spike(y[2000:], np.maximum(p, 1e-3), "mean").mean()
            for p in (plain.predict(x[2000:]), predicted, rates[2000:])
        ]
        assert score[0] < score[1] < score[2]

    def test_target_can_be_said(self):
        x, y, _ = counts()
        assert Ridge(target="continuous").fit(x, y).calibration_ is None
        assert Ridge().fit(x, y).calibration_ is not None
        assert Ridge().fit(x, y - 1).calibration_ is None

    def test_one_penalty_needs_no_held_out_rows(self):
        x, y = continuous(n=3)
        assert np.isnan(Ridge((1.0,)).fit(x, y, validate=np.zeros(3, bool)).validation_score_)
        with pytest.raises(DataError, match="No known row is held out"):
            Ridge().fit(x, y, validate=np.zeros(3, bool))


class TestReducedRank:
    def test_full_rank_is_ridge(self):
        x, y, _ = counts()
        ridge = Ridge((10.0,), lags=(-1, 1), calibrate=False).fit(x, y)
        full = ReducedRank((80,), (10.0,), lags=(-1, 1), calibrate=False).fit(x, y)
        assert full.rank_ == 6
        assert_allclose(full.predict(x), ridge.predict(x), atol=1e-6)

    def test_squared_error_adds_what_the_left_out_dimensions_held(self):
        x, y = continuous(n=500, width=20, units=8)
        x = x * np.geomspace(5, 0.05, 20)
        ols = Ridge((0.0,), **PLAIN).fit(x, y).predict(x)
        strength = np.linalg.svd(ols - y.mean(axis=0), compute_uv=False)
        for rank in (1, 2, 5, 8):
            low = ReducedRank((rank,), (0.0,), **PLAIN).fit(x, y).predict(x)
            expected = np.square(y - ols).sum() + np.square(strength[rank:]).sum()
            assert_allclose(np.square(y - low).sum(), expected)

    def test_penalty_as_rows_of_data(self):
        x, y = continuous(n=200, width=7, units=5)
        alpha, rank = 30.0, 2
        z, target = standardised(x), y - y.mean(axis=0)
        augmented = np.vstack([z, np.sqrt(alpha) * np.eye(7)])
        b = np.linalg.lstsq(augmented, np.vstack([target, np.zeros((7, 5))]))[0]
        v = np.linalg.svd(augmented @ b)[2][:rank]
        model = ReducedRank((rank,), (alpha,), **PLAIN).fit(x, y)
        assert_allclose(model.coef_, b @ v.T @ v, atol=1e-9)
        assert np.linalg.matrix_rank(model.coef_) == rank
        assert_allclose(np.abs(model.loadings_ @ v.T), np.eye(rank), atol=1e-9)

    def test_finds_the_rank_of_the_truth(self):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(400, 30))
        y = x @ rng.normal(size=(30, 2)) @ rng.normal(size=(2, 40)) + 8 * rng.normal(
            size=(400, 40)
        )
        model = ReducedRank(**PLAIN).fit(x, y)
        assert model.rank_ == 2
        assert model.validation_score_ > Ridge(**PLAIN).fit(x, y).validation_score_

    def test_refuses_rank_zero(self):
        with pytest.raises(ConfigError, match="whole numbers from 1 on"):
            ReducedRank((0, 2)).fit(*continuous())


class TestPoissonGLM:
    @pytest.mark.parametrize(("width", "n", "scale"), [(5, 400, 0.3), (80, 60, 0.1)])
    def test_equals_scikit_learn(self, width, n, scale):
        x, y, _ = counts(n=n, width=width, units=3, scale=scale)
        model = PoissonGLM((5.0,), **PLAIN, tolerance=1e-9).fit(x, y)
        z = standardised(x)
        for unit in range(3):
            oracle = PoissonRegressor(alpha=5 / len(x), tol=1e-9, max_iter=10_000)
            oracle.fit(z, y[:, unit])
            assert_allclose(model.coef_[:, unit], oracle.coef_, atol=1e-5)
            assert_allclose(model.intercept_[unit], oracle.intercept_, atol=1e-5)

    def test_is_where_the_gradient_ends(self):
        x, y, _ = counts()
        segments = np.repeat([0, 1], 300)
        model = PoissonGLM((20.0,), lags=(-1, 2), components=3, tolerance=1e-8)
        rates = model.fit(x, y, segments=segments).predict(x, segments=segments)
        z = model._settings.design(model.features_, _rows(x, segments))[0].rows(np.arange(600))
        gradient = z.T @ (rates - y) + 20 * model.coef_
        assert np.abs(gradient).max() < 1e-4
        assert (model.gradient_norm_ < 1e-8).all()
        assert_allclose(rates.sum(axis=0), y.sum(axis=0), rtol=1e-9)

    def test_rates_sum_to_counts_in_single_precision(self):
        x, y, _ = counts()
        rates = PoissonGLM(lags=(-1, 1)).fit(x.astype(np.float32), y).predict(x.astype(np.float32))
        assert rates.dtype == np.float32
        assert_allclose(rates.sum(axis=0, dtype=float), y.sum(axis=0), rtol=1e-5)

    def test_a_silent_unit_has_rate_zero_and_disturbs_none(self):
        x, y, _ = counts()
        y[:, 2] = 0
        model = PoissonGLM((10.0,)).fit(x, y)
        assert (model.predict(x)[:, 2] == 0).all()
        others = [0, 1, 3, 4, 5]
        alone = PoissonGLM((10.0,)).fit(x, y[:, others])
        assert_allclose(model.predict(x)[:, others], alone.predict(x), rtol=1e-3)

    def test_deviance_is_that_of_scikit_learn(self):
        x, y, _ = counts()
        model = PoissonGLM((10.0,), lags=(0, 1), components=3).fit(x, y)
        rates = model.predict(x)
        expected = [600 * mean_poisson_deviance(y[:, u], rates[:, u]) for u in range(6)]
        assert_allclose(model.deviance_, expected)

    def test_never_beyond_the_highest_rate_seen(self):
        x, y, _ = counts()
        model = PoissonGLM((1.0,), **PLAIN).fit(x, y)
        assert_allclose(model.predict(x).max(axis=0), model.ceiling_, rtol=1e-9)
        assert (model.predict(100 * x) <= model.ceiling_ * (1 + 1e-12)).all()

    def test_beats_ridge_and_comes_near_the_truth(self):
        x, y, rates = counts(n=4000)
        glm, ridge = PoissonGLM(**PLAIN), Ridge(**PLAIN)
        scores = [bits_per_spike(y[3000:], rates[3000:], "mean").mean()]
        for model in (glm, ridge):
            predicted = model.fit(x[:3000], y[:3000]).predict(x[3000:])
            scores.append(bits_per_spike(y[3000:], predicted, "mean").mean())
        assert scores[0] > scores[1] > scores[2]
        assert scores[1] > 0.95 * scores[0]

    def test_warns_when_steps_do_not_suffice(self):
        x, y, _ = counts()
        with pytest.warns(UserWarning, match="6 units did not converge in 1 steps"):
            PoissonGLM((0.1,), **PLAIN, tolerance=1e-9, max_steps=1).fit(x, y)

    def test_negative_counts_are_refused(self):
        x, y, _ = counts()
        with pytest.raises(DataError, match="counts >= 0"):
            PoissonGLM().fit(x, y - 1)

    def test_equals_nemos(self):
        nemos = pytest.importorskip("nemos", reason="nemos is not installed")
        x, y, _ = counts()
        model = PoissonGLM((6.0,), **PLAIN, tolerance=1e-8).fit(x, y)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            peer = nemos.glm.PopulationGLM(
                regularizer="Ridge",
                regularizer_strength=6 / len(x),
                solver_name="LBFGS",
                solver_kwargs={"maxiter": 1000, "tol": 1e-10},
            ).fit(standardised(x), y)
        assert_allclose(model.coef_, peer.coef_, atol=1e-3)


MODELS = [
    Ridge(lags=(-1, 1), components=3),
    ReducedRank(lags=(-1, 1), components=3),
    PoissonGLM(lags=(-1, 1), components=3),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
class TestAllModels:
    def test_counts_of_any_type(self, model):
        x, y, _ = counts()
        expected = model.fit(x, y).predict(x)
        for kind in (np.uint8, np.int16, np.float32, np.float64):
            assert_array_equal(model.fit(x, y.astype(kind)).predict(x), expected)

    def test_single_precision_is_near(self, model):
        x, y, _ = counts()
        expected = model.fit(x, y).predict(x)
        single = x.astype(np.float32)
        assert_allclose(model.fit(single, y).predict(single), expected, rtol=0.01, atol=1e-3)

    def test_inputs_are_not_changed(self, model):
        x, y, _ = counts()
        x.flags.writeable = y.flags.writeable = False
        model.fit(x, y).predict(x)

    def test_unknown_rows_are_left_out_and_counted(self, model):
        x, y, _ = counts()
        y = y.astype(float)
        dirty_x, dirty_y = x.copy(), y.copy()
        dirty_x[10, 1], dirty_x[11, 0], dirty_y[20, 3] = np.nan, np.inf, np.nan
        model.fit(dirty_x, dirty_y)
        assert model.n_left_out_ == 3
        predicted = model.predict(dirty_x)
        assert np.isnan(predicted[10:12]).all()
        assert np.isfinite(np.delete(predicted, [10, 11], axis=0)).all()

    def test_what_stands_in_an_unknown_row_does_not_matter(self, model):
        x, y, _ = counts()
        x[10, 1] = np.nan
        expected = model.fit(x, y).coef_
        x[10, 2:], y[10] = 1e6, 200
        assert_array_equal(model.fit(x, y).coef_, expected)

    def test_columns_that_say_nothing(self, model):
        x, y, _ = counts()
        expected = model.fit(x, y).predict(x)
        wide = np.insert(x, [2, 5], np.array([np.nan, 7.0]), axis=1)
        assert_allclose(model.fit(wide, y).predict(wide), expected, rtol=1e-6)

    def test_a_unit_that_is_never_known(self, model):
        x, y, _ = counts()
        y = y.astype(float)
        y[:, 1] = np.nan
        predicted = model.fit(x, y).predict(x)
        assert np.isnan(predicted[:, 1]).all()
        expected = model.fit(x, np.delete(y, 1, axis=1)).predict(x)
        assert_allclose(np.delete(predicted, 1, axis=1), expected, rtol=1e-9)

    def test_predictions_of_a_segment_do_not_depend_on_others(self, model):
        x, y, _ = counts()
        model.fit(x, y)
        alone = model.predict(x[:50])
        beside = model.predict(x[:100], segments=np.repeat([0, 1], 50))
        assert_allclose(beside[:50], alone, rtol=1e-12)
        assert not np.allclose(model.predict(x[:100])[49], alone[49])

    @pytest.mark.parametrize("components", [None, 3])
    def test_features_that_never_vary_leave_the_mean(self, model, components):
        _, y, _ = counts()
        plain = type(model)(components=components).fit(np.ones((600, 2)), y)
        assert_allclose(plain.predict(np.zeros((4, 2))), np.tile(y.mean(axis=0), (4, 1)), rtol=0.3)

    def test_numbers_of_any_size(self, model):
        x, y, _ = counts()
        expected = model.fit(x, y).predict(x)
        for factor in (1e-30, 1e30):
            assert_allclose(model.fit(x * factor, y).predict(x * factor), expected, rtol=1e-6)

    def test_save_and_load_bit_for_bit(self, model, tmp_path):
        x, y, _ = counts()
        y = y.astype(float)
        y[:, 1], y[:, 4] = np.nan, 0
        model.fit(x, y).save(tmp_path / "model")
        back = type(model).load(tmp_path / "model")
        assert back.parameters == model.parameters
        assert_array_equal(back.predict(x), model.predict(x))
        assert_array_equal(back.kernels(), model.kernels())
        assert vars(back).keys() == vars(model).keys()

    def test_refusals(self, model):
        x, y, _ = counts()
        with pytest.raises(NotFittedError):
            type(model)().predict(x)
        with pytest.raises(DataError, match="the times of X"):
            model.fit(x, y[1:])
        with pytest.raises(DataError, match="found none among 600"):
            model.fit(np.where(np.eye(600, 5) == 1, x, np.nan), y)
        with pytest.raises(DataError, match="found none among 0"):
            model.fit(x[:0], y[:0])
        with pytest.raises(DataError, match="at least one feature"):
            model.fit(x[:, :0], y)
        with pytest.raises(DataError, match="expected bool"):
            model.fit(x, y, validate=np.zeros(600))
        with pytest.raises(DataError, match="picks all rows"):
            model.fit(x, y, validate=np.ones(600, bool))
        with pytest.raises(ConfigError, match="first, last"):
            type(model)(lags=(2, -2)).fit(x, y)
        with pytest.raises(ConfigError, match="penalties >= 0"):
            type(model)(alphas=(-1.0,)).fit(x, y)
        with pytest.raises(DataError, match="expected 5 features, found 4"):
            model.fit(x, y).predict(x[:, 1:])


class TestHeldOut:
    @pytest.mark.parametrize("scale", [1.0, 3.0])
    def test_score_is_that_of_the_metrics(self, scale):
        _, y, rates = counts()
        y[:, 3] = 0
        expected = np.nanmean(bits_per_spike(y, rates * scale, "mean", floor=1e-3))
        assert_allclose(HeldOutScore(y, "counts")(rates * scale), expected, atol=1e-6)

    def test_calibration_is_the_likeliest_log_line(self):
        rng = np.random.default_rng(0)
        predicted = rng.uniform(0.5, 3, size=(20_000, 2))
        mean = np.array([1.5, 1.5])
        truth = mean * np.exp(0.3 + np.array([0.5, 1.7]) * np.log(predicted / mean))
        model = Calibration().fit(predicted, rng.poisson(truth), mean)
        assert_allclose(model.offset_, 0.3, atol=0.03)
        assert_allclose(model.slope_, [0.5, 1.7], atol=0.05)
        assert_allclose(model.transform(predicted), truth, rtol=0.05)

    def test_without_spikes_predictions_stay_as_they_are(self):
        predicted = np.array([[0.5], [2.0]])
        model = Calibration().fit(predicted[:0], predicted[:0], np.array([1.0]))
        assert_allclose(model.transform(predicted), predicted)


def test_spectrum_of_more_columns_than_rows_is_orthonormal():
    x, _ = continuous(n=30, width=50)
    design = LagSettings.of((0, 0), None, None)
    lagged = design.design(_features(x), _rows(x))[0]
    index = np.arange(30)
    spectrum = Spectrum.of(lagged, index, lagged.rows(index).sum(axis=0))
    assert len(spectrum.values) == 29
    assert_allclose(spectrum.vectors.T @ spectrum.vectors, np.eye(29), atol=1e-9)


def _rows(x, segments=None):
    from tinbergen.encoding.inputs import Rows

    return Rows.of(x, segments)


def _features(x):
    from tinbergen.encoding.design import FeatureMap

    return FeatureMap().fit(x, np.ones(len(x), bool))


@pytest.mark.parametrize("model", [Ridge, ReducedRank, PoissonGLM])
def test_a_unit_that_only_the_held_out_rows_know_has_a_rate(model):
    x, y, _ = counts()
    held = np.arange(len(x)) >= 450
    y[~held, 1] = 0
    rates = model(**PLAIN).fit(x, y, validate=held).predict(x)
    assert_allclose(rates[:, 1].mean(), y[:, 1].mean(), rtol=0.25)
