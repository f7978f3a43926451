"""Units from other units: closed forms, what has no influence, known truth, real sessions."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression

from tinbergen.encoding import ForwardRidge, PeerRidge, WindowLogistic
from tinbergen.encoding.design import Lagged
from tinbergen.encoding.peer_path import PeerPath
from tinbergen.encoding.peer_rates import FLOORS, SHRINKS, RateChoice
from tinbergen.errors import ConfigError, DataError, NotFittedError
from tinbergen.metrics import balanced_accuracy, bits_per_spike

REGIONS = np.array(["a"] * 6 + ["b"] * 5 + ["c"] * 2)
ALL_PEERS = ("all", "own_region", "other_regions")
EITHER = pytest.mark.parametrize("calibrate", [True, False])


def population(windows=60, time=12, units=13, seed=0):
    """Units that share a slow state, with weights of their own."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(size=(windows, time, 2))
    state = np.cumsum(steps, axis=1) / 2
    rates = np.exp(0.5 * np.tanh(state @ rng.normal(size=(2, units))))
    return rng.poisson(rates), rates


def lagged(values, lags):
    """Lag by lag, window by window: (window x time, lag x unit), zeros beyond the window."""
    n, time, units = values.shape
    z = np.zeros((n, time, len(lags), units))
    for i, lag in enumerate(lags):
        for t in range(time):
            if 0 <= t - lag < time:
                z[:, t, i] = values[:, t - lag]
    return z.reshape(n * time, -1)


class TestClosedForm:
    @pytest.mark.parametrize("windows", [40, 3])  # more rows than columns, and fewer
    @pytest.mark.parametrize("alpha", [0.5, 30.0])
    def test_weights_are_those_without_the_columns(self, windows, alpha):
        rng = np.random.default_rng(1)
        values = rng.normal(size=(windows, 10, 8))
        values -= values.mean(axis=0)
        flat = values.reshape(-1, 8)
        design = Lagged(flat, np.repeat(np.arange(windows), 10), (-2, 2))
        path = PeerPath.fit(design, flat, np.arange(len(flat)))
        blind = [np.array([0]), np.array([3]), np.array([1, 2, 7])]
        columns = [(np.arange(5)[:, None] * 8 + units).ravel() for units in blind]

        found = path.weights(alpha, list(zip(columns, blind, strict=True)))

        z = lagged(values, range(-2, 3))
        for hidden, units in zip(columns, blind, strict=True):
            left = np.setdiff1d(np.arange(z.shape[1]), hidden)
            gram = z[:, left].T @ z[:, left] + alpha * np.eye(len(left))
            direct = np.linalg.solve(gram, z[:, left].T @ flat[:, units])
            assert_allclose(found[np.ix_(left, units)], direct, atol=1e-8)
            assert_array_equal(found[np.ix_(hidden, units)], 0)
        full = np.linalg.solve(z.T @ z + alpha * np.eye(z.shape[1]), z.T @ flat[:, 4])
        assert_allclose(found[:, 4], full, atol=1e-8)

    def test_a_whole_prediction_by_hand(self):
        counts, _ = population()
        validate, unit = np.arange(60) >= 45, 4
        model = PeerRidge(alphas=(50.0,), lags=(0, 1), calibrate=False)
        rates = model.fit(counts, validate=validate).predict(counts)

        residual = counts - counts[:45].mean(axis=0)
        z = np.delete(lagged(residual, range(2)), [unit, 13 + unit], axis=1)
        train = z[: 45 * 12]
        y = residual[:45, :, unit].ravel()
        weights = np.linalg.solve(train.T @ train + 50 * np.eye(24), train.T @ y)
        shrink = model.coef_[..., unit].sum() / weights.sum()
        floor = model.floor_[unit] / counts[:45, :, unit].mean()
        assert np.isclose(shrink, SHRINKS).any()
        assert np.isclose(floor, FLOORS).any()
        linear = model.psth_[:, unit] + shrink * (z @ weights).reshape(60, 12)
        assert_allclose(rates[..., unit], np.maximum(linear, model.floor_[unit]), atol=1e-8)

    def test_forward_by_hand(self):
        counts, _ = population(time=14)
        validate = np.arange(60) >= 45
        model = ForwardRidge(2, alphas=(50.0,), calibrate=False).fit(counts, validate=validate)

        residual = counts - counts[:45].mean(axis=0)
        sums = np.stack([residual[:, e - 3 : e].sum(axis=1) for e in range(8, 13)], axis=1)
        earlier = np.stack([residual[:, e - 8 : e - 3].sum(axis=1) for e in range(8, 13)], axis=1)
        f = np.concatenate([sums, earlier], axis=2)  # e = first unseen bin; horizon 1
        train = f[:45].reshape(-1, 26)
        y = residual[:45, 9:14].reshape(-1, 13)
        weights = np.linalg.solve(train.T @ train + 50 * np.eye(26), train.T @ y)
        found = model.coef_[1].reshape(26, 13)
        assert_allclose(found, found.sum() / weights.sum() * weights, atol=1e-8)


class TestWhatHasNoInfluence:
    @EITHER
    @pytest.mark.parametrize("peers", ALL_PEERS)
    def test_own_counts(self, peers, calibrate):
        counts, _ = population()
        model = PeerRidge(peers, calibrate=calibrate).fit(counts, REGIONS)
        before = model.predict(counts)
        changed = counts.copy()
        changed[..., 2] = 50
        after = model.predict(changed)
        assert_array_equal(before[..., 2], after[..., 2])
        assert (before != after)[..., 8 if peers == "other_regions" else 3].any()

    @EITHER
    def test_a_hidden_region(self, calibrate):
        counts, _ = population()
        model = PeerRidge("other_regions", calibrate=calibrate).fit(counts, REGIONS)
        changed = counts.copy()
        changed[..., REGIONS == "a"] = 50
        before, after = model.predict(counts), model.predict(changed)
        assert_array_equal(before[..., REGIONS == "a"], after[..., REGIONS == "a"])
        assert (before != after)[..., REGIONS == "b"].any()

    def test_other_regions_within_one(self):
        counts, _ = population()
        model = PeerRidge("own_region").fit(counts, REGIONS)
        changed = counts.copy()
        changed[..., REGIONS != "b"] = 50
        inside = REGIONS == "b"
        assert_array_equal(model.predict(counts)[..., inside], model.predict(changed)[..., inside])

    @EITHER
    @pytest.mark.parametrize("n_bins", [1, 3, 7])
    def test_the_future(self, n_bins, calibrate):
        counts, _ = population()
        model = ForwardRidge(n_bins, calibrate=calibrate).fit(counts)
        changed = counts.copy()
        changed[:, -n_bins:] = 50
        before = model.predict(counts)
        assert before.shape == (60, n_bins, 13)
        assert np.isfinite(before).all()
        assert_array_equal(before, model.predict(changed))
        changed[:, -n_bins - 1] += 5
        assert (before != model.predict(changed)).any()


@EITHER
@pytest.mark.parametrize("peers", ALL_PEERS)
def test_the_order_of_units_says_nothing(peers, calibrate):
    counts, _ = population()
    order = np.random.default_rng(3).permutation(13)
    model = PeerRidge(peers, calibrate=calibrate)
    plain = model.fit(counts, REGIONS).predict(counts)
    moved = model.fit(counts[..., order], REGIONS[order]).predict(counts[..., order])
    assert_allclose(moved, plain[..., order], rtol=1e-6)


def test_who_is_not_predicted():
    counts, _ = population()
    counts[:48, :, 12] = 0
    counts[:, :, 1] = 0
    validate = np.arange(60) >= 48
    rates = {
        peers: PeerRidge(peers).fit(counts, REGIONS, validate=validate).predict(counts)
        for peers in ALL_PEERS
    }
    for peers, expected in (("all", [1, 12]), ("own_region", [1, 11, 12])):
        missing = np.isnan(rates[peers])
        assert_array_equal(np.flatnonzero(missing.all(axis=(0, 1))), expected)
        assert_array_equal(missing.any(axis=(0, 1)), missing.all(axis=(0, 1)))
        assert rates[peers].dtype == np.float64
    assert_array_equal(np.isnan(rates["own_region"]), np.isnan(rates["other_regions"]))
    ahead = ForwardRidge().fit(counts, validate=validate).predict(counts)
    assert_array_equal(np.flatnonzero(np.isnan(ahead).any(axis=(0, 1))), [1, 12])


class TestKnownTruth:
    def test_shared_state_is_found(self):
        counts, truth = population(windows=300, units=40)
        test = slice(240, None)
        fit, null = counts[:240], counts[:240].mean(axis=(0, 1))
        rates = PeerRidge().fit(fit).predict(counts[test])
        ceiling = bits_per_spike(counts[test], truth[test], null).mean()
        assert bits_per_spike(counts[test], rates, null).mean() > 0.5 * ceiling > 0
        ahead = ForwardRidge(1).fit(fit).predict(counts[test])
        reach = bits_per_spike(counts[test, -1:], truth[test, -1:], null).mean()
        assert bits_per_spike(counts[test, -1:], ahead, null).mean() > 0.3 * reach > 0

    @EITHER
    def test_independent_units_get_their_psth(self, calibrate):
        rng = np.random.default_rng(0)
        psth = np.exp(np.sin(np.arange(10) / 2))[:, None] * np.ones(12)
        counts = rng.poisson(psth, size=(400, 10, 12))
        rates = PeerRidge(calibrate=calibrate).fit(counts[:320]).predict(counts[320:])
        assert_allclose(rates.mean(axis=(0, 2)), psth[:, 0], rtol=0.08)
        gain = bits_per_spike(counts[320:], rates, psth).mean()
        assert -0.02 < gain < 0.005

    def test_calibration_follows_a_drift(self):
        rng = np.random.default_rng(0)
        drift = np.where(np.arange(200) < 120, 1.0, 2.0)[:, None, None]
        counts = rng.poisson(drift * np.ones((200, 10, 8)))
        validate = np.arange(160) >= 120
        model = PeerRidge(alphas=(1e8,)).fit(counts[:160], validate=validate)
        assert_allclose(model.predict(counts[160:]).mean(axis=(0, 1)), 2.0, rtol=0.1)

    def test_held_out_windows_choose(self):
        counts = np.random.default_rng(0).poisson(2.0, size=(50, 10, 6))
        good = counts - 2.0
        options = {"psth": np.full((10, 6), 2.0), "mean": np.full(6, 2.0), "calibrate": False}
        choice = RateChoice.of([-good, good, 0 * good], counts, **options)
        assert_array_equal(choice.candidate, 1)
        assert choice.shrink == 1.0
        shared = RateChoice.of([-good, good], counts, **options, shared=True)
        assert_array_equal(shared.candidate, 1)


@pytest.mark.parametrize("calibrate", [True, False])
def test_saved_models_predict_the_same(tmp_path, calibrate):
    counts, _ = population()
    for model in (PeerRidge(calibrate=calibrate), ForwardRidge(3, calibrate=calibrate)):
        folder = tmp_path / type(model).__name__
        before = model.fit(counts).predict(counts)
        model.save(folder)
        assert_array_equal(type(model).load(folder).predict(counts), before)


def test_broken_input_is_named():
    counts, _ = population()
    with pytest.raises(DataError, match="found shape|expected shape"):
        PeerRidge().fit(counts[0])
    with pytest.raises(DataError, match="negative"):
        PeerRidge().fit(counts - 5)
    with pytest.raises(DataError, match="name for each of 13 units"):
        PeerRidge("own_region").fit(counts)
    with pytest.raises(DataError, match="no region has 5"):
        PeerRidge("own_region").fit(counts, np.arange(13))
    with pytest.raises(DataError, match="no other region"):
        PeerRidge("other_regions").fit(counts, ["a"] * 13)
    with pytest.raises(DataError, match="no unit fires"):
        PeerRidge().fit(0 * counts)
    with pytest.raises(DataError, match="windows to choose on"):
        ForwardRidge().fit(counts, validate=np.zeros(60, bool))
    with pytest.raises(ConfigError, match="'own_region'"):
        PeerRidge("region").fit(counts)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match="penalties > 0"):
        PeerRidge(alphas=(0.0, 1.0)).fit(counts)
    with pytest.raises(ConfigError, match="1 to 11"):
        ForwardRidge(12).fit(counts)
    with pytest.raises(NotFittedError):
        PeerRidge().predict(counts)
    with pytest.raises(DataError, match=r"\(window, 12, 13\)"):
        PeerRidge().fit(counts).predict(counts[..., :5])


class TestWindowLogistic:
    @staticmethod
    def windows(early=False):
        rng = np.random.default_rng(0)
        side = rng.choice(["left", "right"], size=160)
        rates = np.ones((160, 8, 10))
        rates[side == "left", : 2 if early else 8] += 1.0
        if early:
            rates[side == "right", 6:] += 1.0
        return rng.poisson(rates), side

    @pytest.mark.parametrize("early", [False, True])
    def test_finds_what_tells_the_classes(self, early):
        counts, side = self.windows(early)
        model = WindowLogistic().fit(counts[:120], side[:120])
        assert model.parts_ == 4 or not early
        assert_array_equal(model.classes_, ["left", "right"])
        p = model.predict_proba(counts[120:])
        assert_allclose(p.sum(axis=1), 1)
        assert balanced_accuracy(side[120:], model.predict(counts[120:])) > 0.9
        assert_array_equal(model.predict(counts[120:]), model.classes_[p.argmax(axis=1)])

    def test_is_that_of_scikit_learn(self):
        counts, side = self.windows()
        held = np.arange(160) % 5 == 4
        model = WindowLogistic().fit(counts, side, validate=held)
        f = np.sqrt(counts.reshape(160, model.parts_, -1, 10).sum(axis=2).reshape(160, -1))
        z = (f - f[~held].mean(axis=0)) / (f[~held].std(axis=0) + 0.1)
        power = z[~held].var(axis=0).mean()
        c = 1 / (model.logistic_.alpha_ * power)
        other = LogisticRegression(C=c, class_weight="balanced", tol=1e-8).fit(
            z[~held], side[~held]
        )
        assert_allclose(model.predict_proba(counts), other.predict_proba(z), atol=1e-3)

    def test_round_trip_and_errors(self, tmp_path):
        counts, side = self.windows()
        model = WindowLogistic().fit(counts, side)
        model.save(tmp_path / "model")
        again = WindowLogistic.load(tmp_path / "model")
        assert_array_equal(again.predict_proba(counts), model.predict_proba(counts))
        with pytest.raises(DataError, match="one for each of 160"):
            WindowLogistic().fit(counts, side[1:])
        with pytest.raises(DataError, match="expected 10 units, found 3"):
            model.predict(counts[..., :3])
        with pytest.raises(DataError, match="no unit varies"):
            WindowLogistic().fit(0 * counts, side)
        with pytest.raises(NotFittedError):
            WindowLogistic().predict(counts)


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 5, 9])
class TestSteinmetz:
    """Figures of an earlier script of ours on the same trials; bits/spike over the train mean."""

    CO, FORWARD = {1: 0.278, 5: 0.210, 9: 0.190}, {1: 0.068, 5: 0.019, 9: 0.125}
    INTRA, INTER = {1: 0.202, 5: 0.188, 9: 0.114}, {1: 0.246, 5: 0.129, 9: 0.177}
    SIDE = {1: 0.537, 5: 0.333, 9: 0.564}

    @pytest.fixture
    def session(self, real_data, number):
        found = list(
            (real_data / "neural/steinmetz2019_trials").glob(f"session{number:02d}_*.npz")
        )
        if not found:
            pytest.skip(f"no session {number} of Steinmetz et al. at {real_data}")
        with np.load(found[0]) as file:
            # (trial, unit, 40 bins of 10 ms) to bins of 20 ms
            counts = file["counts"].reshape(*file["counts"].shape[:2], 20, 2).sum(axis=-1)
            counts = counts.transpose(0, 2, 1).astype(np.float64)
            area = file["brain_area"].astype(str)
            side = np.sign(file["contrast_right"] - file["contrast_left"])
        cuts = [round(len(counts) * i / 5) for i in (3, 4)]
        quick = counts[: cuts[0]].sum(axis=(0, 1)) / (cuts[0] * 0.4) > 1.0
        return counts[..., quick], area[quick], side, cuts

    @staticmethod
    def score(rates, test, null, block):
        enough = (block.sum(axis=(0, 1)) >= 20) & (test.sum(axis=(0, 1)) >= 5)
        enough &= np.isfinite(rates).all(axis=(0, 1))
        return bits_per_spike(test, rates, null)[enough].mean()

    def test_figures(self, session, number):
        counts, area, side, (train, stop) = session
        null, test = counts[:train].mean(axis=(0, 1)), counts[stop:]
        validate = np.arange(stop) >= train

        def found(peers, calibrate=False):
            model = PeerRidge(peers, calibrate=calibrate).fit(
                counts[:stop], area, validate=validate
            )
            return self.score(model.predict(test), test, null, test)

        co = found("all")
        assert co == pytest.approx(self.CO[number], abs=0.005)
        assert found("own_region") == pytest.approx(self.INTRA[number], abs=0.005)
        assert found("other_regions") == pytest.approx(self.INTER[number], abs=0.005)
        assert found("all", calibrate=True) > co + 0.02
        forward = ForwardRidge(calibrate=False).fit(counts[:stop], validate=validate)
        ahead = self.score(forward.predict(test), test[:, -2:], null, test)
        assert ahead == pytest.approx(self.FORWARD[number], abs=0.005)
        decoder = WindowLogistic().fit(counts[:stop], side[:stop], validate=validate)
        accuracy = balanced_accuracy(side[stop:], decoder.predict(test))
        assert accuracy == pytest.approx(self.SIDE[number], abs=0.005)
