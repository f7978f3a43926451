import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lagged_oracle import lag_matrix, standardised
from numpy.testing import assert_allclose, assert_array_equal

from tinbergen.encoding import raised_cosine_basis
from tinbergen.encoding.design import FeatureMap, Lagged, shares
from tinbergen.encoding.inputs import Rows, consecutive
from tinbergen.encoding.lag_functions import lag_basis
from tinbergen.errors import ConfigError, DataError


@st.composite
def designs(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n, width = draw(st.integers(1, 40)), draw(st.integers(1, 3))
    segments = consecutive(np.sort(rng.integers(0, draw(st.integers(1, 5)), n)), n)
    first = draw(st.integers(-6, 6))
    lags = (first, first + draw(st.integers(0, 7)))
    index = np.flatnonzero(rng.random(n) < draw(st.sampled_from([0.3, 0.9, 1.0])))
    n_functions = draw(st.one_of(st.none(), st.integers(1, lags[1] - lags[0] + 1)))
    return rng.normal(size=(n, width)), segments, lags, index, lag_basis(n_functions, lags)


@settings(deadline=None)
@given(designs())
def test_blocks_equal_the_matrix_written_out(design):
    features, segments, lags, index, basis = design
    whole = lag_matrix(features, segments, lags, basis)[index]
    lagged = Lagged(features, segments, lags, basis)
    rng = np.random.default_rng(0)
    y, w = rng.normal(size=(len(index), 2)), rng.normal(size=(whole.shape[1], 2))

    assert_array_equal(lagged.n_columns, whole.shape[1])
    assert_allclose(lagged.rows(index), whole, atol=1e-12)
    assert_allclose(lagged.gram(index), whole.T @ whole, atol=1e-9)
    assert_allclose(lagged.kernel(index), whole @ whole.T, atol=1e-9)
    assert_allclose(lagged.dot(index, w), whole @ w, atol=1e-9)
    total, cross = lagged.sums(index, y)
    assert_allclose(total, whole.sum(axis=0), atol=1e-9)
    assert_allclose(cross, whole.T @ y, atol=1e-9)


def test_many_blocks_equal_one(monkeypatch):
    rng = np.random.default_rng(0)
    features, segments = rng.normal(size=(700, 4)), np.repeat(np.arange(7), 100)
    index = np.flatnonzero(rng.random(700) < 0.97)
    whole = lag_matrix(features, segments, (-2, 3))[index]
    monkeypatch.setattr("tinbergen.encoding.design._BLOCK_VALUES", 100)
    lagged = Lagged(features, segments, (-2, 3))
    assert len(list(lagged.parts(index))) > 5
    assert_allclose(lagged.gram(index), whole.T @ whole, atol=1e-9)
    assert_allclose(lagged.kernel(index), whole @ whole.T, atol=1e-9)


def test_the_lag_matrix_is_never_in_memory():
    features = np.random.default_rng(0).normal(size=(20_000, 16)).astype(np.float32)
    lagged = Lagged(features, np.repeat(np.arange(20), 1000), (-20, 20))
    index, weights = np.arange(20_000), np.ones((lagged.n_columns, 4))
    matrix = len(index) * lagged.n_columns * features.itemsize
    tracemalloc.start()
    for work in (
        lambda: lagged.gram(index),
        lambda: lagged.dot(index, weights),
        lambda: lagged.sums(index, features[:, :4]),
    ):
        tracemalloc.reset_peak()
        work()
        assert tracemalloc.get_traced_memory()[1] < 0.6 * matrix
    tracemalloc.stop()


def test_a_positive_lag_looks_back():
    features = np.arange(1.0, 5.0)[:, None]
    lagged = Lagged(features, np.array([0, 0, 1, 1]), (1, 1))
    assert_array_equal(lagged.rows(np.arange(4))[:, 0], [0, 1, 0, 3])


class TestFeatureMap:
    def test_standardises_by_the_given_rows_only(self):
        rng = np.random.default_rng(0)
        x, rows = rng.normal(3, 2, size=(50, 3)), np.arange(50) < 30
        before = FeatureMap().fit(x, rows)
        changed = np.where(rows[:, None], x, 1e6)
        after = FeatureMap().fit(changed, rows)
        assert_array_equal(before.mean_, after.mean_)
        assert_array_equal(before.scale_, after.scale_)
        assert_allclose(before.transform(x)[0][:30], standardised(x[:30]))

    def test_components_are_white_and_those_of_the_svd(self):
        rng = np.random.default_rng(1)
        x = rng.normal(size=(200, 5)) @ rng.normal(size=(5, 5)) + 3
        scores, known = FeatureMap(3).fit(x, np.ones(200, bool)).transform(x)
        assert known.all()
        assert_allclose(scores.T @ scores / 200, np.eye(3), atol=1e-9)
        u = np.linalg.svd(standardised(x))[0][:, :3] * np.sqrt(200)
        assert_allclose(np.abs(u.T @ scores / 200), np.eye(3), atol=1e-7)

    def test_more_features_than_rows(self):
        rng = np.random.default_rng(2)
        x = rng.normal(size=(20, 300))
        scores = FeatureMap(10).fit(x, np.ones(20, bool)).transform(x)[0]
        u = np.linalg.svd(standardised(x))[0][:, :10] * np.sqrt(20)
        assert_allclose(np.abs(u.T @ scores / 20), np.eye(10), atol=1e-7)
        assert FeatureMap(64).fit(x, np.ones(20, bool)).n_columns == 19

    @pytest.mark.parametrize("components", [None, 2])
    def test_constant_and_unknown_columns_say_nothing(self, components):
        rng = np.random.default_rng(3)
        x = rng.normal(size=(30, 5))
        x[:, 1], x[:, 3] = 0.1, np.nan
        features = FeatureMap(components).fit(x, np.ones(30, bool))
        assert_array_equal(features.columns_left_out_, [False, True, False, True, False])
        scores, known = features.transform(x)
        assert known.all() and np.isfinite(scores).all()
        x[4, 0] = np.nan
        assert not features.transform(x)[1][4]

    @pytest.mark.parametrize("n", [200, 20])
    def test_groups_are_reduced_each_by_itself(self, n):
        rng = np.random.default_rng(4)
        wide = rng.normal(size=(n, 3)) @ rng.normal(size=(3, 40)) + rng.normal(size=(n, 40))
        narrow, rows = rng.normal(size=(n, 2)), np.ones(n, bool)
        both = np.concatenate([wide, narrow], axis=1)
        features = FeatureMap(6, groups=(40, 2)).fit(both, rows)
        found = features.transform(both)[0]
        for part, columns in ((wide, slice(0, 4)), (narrow, slice(4, 6))):
            alone = FeatureMap(columns.stop - columns.start).fit(part, rows)
            assert_allclose(found[:, columns], alone.transform(part)[0], atol=1e-9)
        weights = rng.normal(size=(6, 3))
        raw = (both - both.mean(axis=0)) @ features.back(weights)
        assert_allclose(raw, found @ weights, atol=1e-8)

    @given(st.integers(1, 60), st.lists(st.integers(1, 90), min_size=1, max_size=6))
    def test_shares_are_even_and_no_more_than_there_are(self, components, groups):
        found = shares(components, groups)
        assert all(1 <= share <= width for share, width in zip(found, groups, strict=True))
        if components >= len(groups):
            assert sum(found) == min(components, sum(groups))
        reduced = [f for f, width in zip(found, groups, strict=True) if f < width]
        assert not reduced or max(reduced) - min(reduced) <= 1
        assert not reduced or max(found) - max(reduced) <= 1

    def test_groups_that_do_not_fit_are_refused(self):
        with pytest.raises(DataError, match="the 3 features of X"):
            FeatureMap(2, groups=(2, 2)).fit(np.eye(3), np.ones(3, bool))

    def test_another_number_of_features_is_refused(self):
        features = FeatureMap().fit(np.eye(3), np.ones(3, bool))
        with pytest.raises(DataError, match="expected 3 features, found 2"):
            features.transform(np.ones((4, 2)))


class TestBasis:
    @pytest.mark.parametrize("spacing", ["linear", "log"])
    def test_functions_sum_to_one_and_peak_in_order(self, spacing):
        basis = raised_cosine_basis((0, 20), 6, spacing)
        assert basis.shape == (21, 6)
        assert_allclose(basis.sum(axis=1), 1)
        peaks = basis.argmax(axis=0)
        assert (np.diff(peaks) >= 0).all() and peaks[0] == 0 and peaks[-1] == 20

    def test_as_many_functions_as_lags_are_the_lags(self):
        assert_allclose(raised_cosine_basis((-2, 2), 5), np.eye(5), atol=1e-12)

    def test_refusals(self):
        with pytest.raises(ConfigError, match="1 to 5 functions, found 6"):
            raised_cosine_basis((-2, 2), 6)
        with pytest.raises(ConfigError, match="lags from 0 on"):
            raised_cosine_basis((-2, 2), 3, "log")
        with pytest.raises(ConfigError, match="a row for each of 5 lags"):
            lag_basis(np.ones((4, 2)), (-2, 2))


class TestRows:
    def test_trials_and_segments_are_the_same(self):
        x = np.arange(24.0).reshape(3, 4, 2)
        trials = Rows.of(x)
        flat = Rows.of(x.reshape(12, 2), np.repeat([5, 2, 5], 4))
        assert_array_equal(trials.segments, flat.segments)
        assert_array_equal(trials.x, flat.x)
        assert_array_equal(trials.place, np.tile(np.arange(4), 3))

    def test_default_held_out_rows(self):
        many = Rows.of(np.zeros((11, 2, 1)))
        assert_array_equal(np.unique(many.segments[many.held_out(None)]), [4, 9])
        two = Rows.of(np.zeros((25, 1)), np.repeat([0, 1], [10, 15]))
        assert_array_equal(np.flatnonzero(two.held_out(None)), [8, 9, 22, 23, 24])

    @pytest.mark.parametrize(
        ("x", "segments", "message"),
        [
            (np.zeros(4), None, "expected .time, feature."),
            (np.zeros((4, 2)), np.zeros(3), r"expected shape \(4,\)"),
            (np.zeros((2, 4, 2)), np.zeros(4), "each trial is a segment"),
            (np.array([["a"]]), None, "array of numbers"),
        ],
    )
    def test_refusals(self, x, segments, message):
        with pytest.raises(DataError, match=message):
            Rows.of(x, segments)
