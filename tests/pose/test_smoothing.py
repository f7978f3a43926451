"""The ensemble Kalman smoother against dense Gaussians, hand examples and real ensembles."""

import time

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from tinbergen.errors import DataError
from tinbergen.metrics import PoseSubspace, sigma_calibration, stack_views, temporal_norm
from tinbergen.pose import smooth
from tinbergen.pose.random_walk import (
    log_likelihood,
    scalar_log_likelihood,
    scalar_smoother,
    smoother,
)
from tinbergen.pose.smoothing import join_members
from tinbergen.pose.smoothing_table import write_smoothed
from tinbergen.pose.views import views_by_ending
from tinbergen.recordings import Keypoints, read_dlc_csv


class TestScalarWalk:
    def test_the_hand_example(self):
        y = np.array([0.0, 0, 3, 0, 0])
        walk = scalar_smoother(y, np.ones(5), np.array(1.0), np.ones(4), 1.0)
        np.testing.assert_allclose(
            walk.mean, [0.168539, 0.505618, 1.348315, 0.539326, 0.269663], atol=1e-6
        )
        np.testing.assert_allclose(
            walk.variance, [0.382022, 0.438202, 0.449438, 0.471910, 0.617978], atol=1e-6
        )

    @pytest.mark.parametrize("noise", [1e6, np.inf])
    def test_what_is_not_believed_does_not_count(self, noise):
        y, r = np.array([0.0, 0, 3, 0, 0]), np.array([1, 1, noise, 1, 1])
        walk = scalar_smoother(y, r, np.array(1.0), np.ones(4), 1.0)
        assert abs(walk.mean[2]) < 1e-5

    def test_a_walk_that_does_not_move_is_a_mean(self):
        walk = scalar_smoother(np.arange(1, 6.0), np.ones(5), np.array(0.0), np.ones(4), 1.0)
        np.testing.assert_allclose(walk.mean, 2.5)
        np.testing.assert_allclose(walk.variance, 1 / 6)

    def test_likelihood_is_that_of_the_joint_gaussian(self):
        rng = np.random.default_rng(0)
        y, r, steps = rng.normal(size=6), rng.uniform(0.5, 2, 6), rng.uniform(0.5, 2, 5)
        at = np.concatenate([[0], np.cumsum(steps)])
        for q in (0.3, 2.0):
            covariance = 1.5 + q * np.minimum.outer(at, at) + np.diag(r)
            exact = multivariate_normal(np.zeros(6), covariance).logpdf(y)  # type: ignore[arg-type]
            ours = scalar_log_likelihood(y, r, np.array(q), steps, 1.5)
            assert float(ours) - 3 * np.log(2 * np.pi) == pytest.approx(float(exact))


class TestSeveralDimensions:
    def make(self):
        rng = np.random.default_rng(0)
        t, n, o, d = 7, 2, 4, 3
        y, r = rng.normal(size=(t, n, o)), rng.uniform(0.5, 2, size=(t, n, o))
        r[2, 0, 1] = np.inf
        loading, a = rng.normal(size=(n, o, d)), rng.normal(size=(n, d, d))
        q, start = a @ a.swapaxes(1, 2), np.stack([2 * np.eye(d)] * n)
        return y, r, loading, q, rng.uniform(0.5, 2, t - 1), start

    def dense(self, y, r, loading, q, steps, start):
        """Joint covariance of the states, and the loading and noise of what was seen."""
        t, d = len(y), len(q)
        at = np.concatenate([[0], np.cumsum(steps)])
        states = np.kron(np.ones((t, t)), start) + np.kron(np.minimum.outer(at, at), q)
        seen = np.isfinite(r.ravel())
        h = np.kron(np.eye(t), loading)[seen]
        return states, h, h @ states @ h.T + np.diag(r.ravel()[seen]), y.ravel()[seen], d

    def test_means_and_covariances_are_those_of_the_joint_gaussian(self):
        y, r, loading, q, steps, start = self.make()
        walk = smoother(y, r, loading, q, steps, start)
        for i in range(2):
            states, h, total, seen, d = self.dense(
                y[:, i], r[:, i], loading[i], q[i], steps, start[i]
            )
            gain = states @ h.T @ np.linalg.inv(total)
            np.testing.assert_allclose(walk.mean[:, i].ravel(), gain @ seen, atol=1e-10)
            covariance = states - gain @ h @ states
            blocks = [covariance[k * d : (k + 1) * d, k * d : (k + 1) * d] for k in range(len(y))]
            np.testing.assert_allclose(walk.covariance[:, i], blocks, atol=1e-10)

    def test_likelihoods_differ_as_those_of_the_joint_gaussian(self):
        y, r, loading, q, steps, start = self.make()
        ours = log_likelihood(y, r, loading, np.stack([q, 2 * q]), steps, start)
        for i in range(2):
            exact = []
            for scale in (1, 2):
                _, _, total, seen, _ = self.dense(
                    y[:, i], r[:, i], loading[i], scale * q[i], steps, start[i]
                )
                exact.append(multivariate_normal(np.zeros(len(seen)), total).logpdf(seen))  # type: ignore[arg-type]
            assert ours[1, i] - ours[0, i] == pytest.approx(exact[1] - exact[0])


def members(n=3, t=300, noise=3.0, seed=0, keypoints=2, step=1.0):
    """Noisy readings of random walks: what is true, and predictions."""
    rng = np.random.default_rng(seed)
    true = rng.normal(0, step, (t, 1, keypoints, 2)).cumsum(axis=0) + 100
    names = tuple(f"k{i}" for i in range(keypoints))
    made = [
        Keypoints(
            np.arange(t) / 50,
            true + rng.normal(0, noise, true.shape),
            np.full((t, 1, keypoints), 0.9),
            names,
        )
        for _ in range(n)
    ]
    return true, made


class TestSmoothing:
    def test_it_is_nearer_the_truth_than_the_median(self):
        true, made = members(n=5)
        result = smooth(made)
        error = np.abs(result.keypoints.positions - true).mean()
        assert error < 0.8 * np.abs(result.ensemble.median - true).mean()
        assert result.keypoints.times is not None
        assert (result.variance > 0).all()

    def test_the_step_of_the_walk_is_found(self):
        for step in (0.5, 3.0):
            rng = np.random.default_rng(1)
            true, _ = members(t=3000, step=step)
            noise = 2.0
            made = Keypoints(
                np.arange(3000) / 50,
                true + rng.normal(0, 1, true.shape) * noise,
                np.full(true.shape[:3], 1 / noise**2),  # one member has variance 1 / confidence
                ("a", "b"),
            )
            assert smooth([made]).smoothing.mean() == pytest.approx(step**2, rel=0.25)

    def test_posterior_variance_is_right(self):
        rng = np.random.default_rng(2)
        true, _ = members(t=4000)
        made = Keypoints(
            np.arange(4000) / 50,
            true + rng.normal(0, 2, true.shape),
            np.full(true.shape[:3], 0.25),
            ("a", "b"),
        )
        result = smooth([made])
        distances = np.linalg.norm(result.keypoints.positions - true, axis=-1)
        found = sigma_calibration(distances, np.sqrt(result.variance.sum(-1)), bins=1)
        assert found.error[0] == pytest.approx(found.sigma[0], rel=0.1)

    def test_gaps_are_bridged_and_their_variance_grows(self):
        _, made = members(n=1)
        positions = made[0].positions.copy()
        positions[100:120, 0, 0] = np.nan
        gappy = Keypoints(made[0].times, positions, made[0].confidence, made[0].keypoints)
        result = smooth([gappy])
        assert np.isfinite(result.keypoints.positions).all()
        variance = result.variance[:, 0, 0, 0]
        assert variance[110] > 2 * variance[90]
        assert (np.diff(variance[98:109]) > 0).all()

    def test_a_keypoint_that_is_never_there_stays_missing(self):
        _, made = members(n=1)
        positions = made[0].positions.copy()
        positions[:, 0, 1] = np.nan
        result = smooth([Keypoints(made[0].times, positions, keypoints=made[0].keypoints)])
        assert np.isnan(result.keypoints.positions[:, 0, 1]).all()
        assert np.isfinite(result.keypoints.positions[:, 0, 0]).all()

    def test_views_correct_each_other(self):
        rng = np.random.default_rng(0)
        t = 400
        world = rng.normal(0, 2, (t, 3)).cumsum(axis=0)
        cameras = rng.normal(size=(3, 3, 2))
        seen = np.einsum("tw,vwi->tvi", world, cameras)[:, None]  # (t, 1, 3 views, 2)
        made = []
        for _ in range(4):
            noise = rng.normal(0, 1.0, seen.shape)
            noise[150:250, 0, 0] = rng.normal(0, 40.0, (100, 2))  # lost in one view for a while
            made.append(
                Keypoints(np.arange(t) / 50, seen + noise, keypoints=("top", "side", "back"))
            )
        alone = smooth(made)
        together = smooth(made, views=[["top", "side", "back"]])
        lost = slice(150, 250)
        errors = [np.abs(r.keypoints.positions - seen) for r in (alone, together)]
        error = [each[lost, 0, 0].mean() for each in errors]
        assert error[1] < 0.5 * error[0]

    def test_given_smoothing_is_used(self):
        _, made = members()
        still = smooth(made, smoothing=1e-6).keypoints.positions
        moving = smooth(made, smoothing=1e6)
        assert np.nanmean(temporal_norm(still)) < 0.01
        # The first frame still knows the spread of all of them.
        np.testing.assert_allclose(
            moving.keypoints.positions[1:], moving.ensemble.median[1:], atol=0.1
        )

    def test_refused(self):
        _, made = members()
        with pytest.raises(DataError, match="at least one run"):
            smooth([])
        with pytest.raises(DataError, match="number 2 200 frames"):
            smooth([made[0], made[0].between(0, 4)])
        late = Keypoints(made[0].times + 1, made[0].positions, keypoints=made[0].keypoints)
        with pytest.raises(DataError, match="not on the same frame times"):
            smooth([made[0], late])
        with pytest.raises(DataError, match="'nose' is no keypoint"):
            smooth(made, views=[["k0", "nose"]])
        with pytest.raises(DataError, match="stands twice"):
            smooth(made, views=[["k0", "k0"]])
        with pytest.raises(DataError, match="at least two views"):
            smooth(made, views=[["k0"]])


def test_views_by_ending():
    names = ("a_top", "b_top", "a_bot", "c")
    assert views_by_ending(names, ["_top", "_bot"]) == [["a_top", "a_bot"]]
    with pytest.raises(DataError, match="endings _left"):
        views_by_ending(names, ["_left", "_right"])


def test_the_table_has_the_columns_of_eks(tmp_path):
    _, made = members(t=5)
    result = smooth(made)
    write_smoothed(tmp_path / "s.csv", result)
    lines = (tmp_path / "s.csv").read_text().splitlines()
    assert lines[2].split(",")[1:10] == [
        *("x", "y", "likelihood", "x_ens_median", "y_ens_median", "x_ens_var", "y_ens_var"),
        *("x_posterior_var", "y_posterior_var"),
    ]
    row = np.array(lines[5].split(",")[1:10], dtype=float)
    np.testing.assert_array_equal(row[:2], result.keypoints.positions[2, 0, 0])
    np.testing.assert_array_equal(row[7:], result.variance[2, 0, 0])


class TestRealEnsemble:
    @pytest.fixture(scope="class")
    @staticmethod
    def ensemble(real_data):
        folder = real_data / "video/eks_ensemble_predictions/mirror-mouse"
        tables = sorted(folder.glob("*.csv"))
        if not tables:
            pytest.skip(f"no ensemble at {folder}")
        made = [read_dlc_csv(table, fps=250) for table in tables]
        views = views_by_ending(made[0].keypoints, ["_top", "_bot"])
        at = [[made[0].keypoints.index(name) for name in part] for part in views]
        return made, views, at

    def test_ensemble_numbers(self, ensemble):
        made, _, at = ensemble
        joined = join_members(made)
        spread = joined.disagreement()
        assert spread.mean() == pytest.approx(1.80, abs=0.01)
        assert np.median(spread) == pytest.approx(1.15, abs=0.01)
        assert np.percentile(spread, 99) == pytest.approx(14.3, abs=0.1)
        space = PoseSubspace.fit(stack_views(joined.median[:, 0], at), components=3)
        assert space.shares[:3].sum() == pytest.approx(0.998, abs=1e-3)

    def test_steps_and_residuals_shrink(self, ensemble):
        made, views, at = ensemble
        median = join_members(made).median[:, 0]
        step = [float(np.nanmean([np.nanmean(temporal_norm(m.positions)) for m in made]))]
        residual = [float(np.mean([_residual(m.positions[:, 0], median, at) for m in made]))]
        step.append(float(np.nanmean(temporal_norm(median))))
        residual.append(_residual(median, median, at))
        started = time.process_time()
        alone = smooth(made).keypoints.positions[:, 0]
        spent = time.process_time() - started
        step.append(float(np.nanmean(temporal_norm(alone))))
        residual.append(_residual(alone, median, at))
        np.testing.assert_allclose(step[:2], [5.309, 5.177], atol=1e-3)
        np.testing.assert_allclose(residual[:2], [1.956, 1.735], atol=1e-3)
        assert step[2] <= 5.023
        assert residual[2] <= 1.637
        together = smooth(made, views=views).keypoints.positions[:, 0]
        assert np.nanmean(temporal_norm(together)) < step[1]
        assert _residual(together, median, at) < 0.5 * residual[1]
        assert spent < 2.0  # 0.12 s of CPU time here; a busy machine is no failure


def _residual(positions, reference, at):
    """Mean distance from the plane of rank 3 of both views of all parts together, px."""
    space = PoseSubspace.fit(stack_views(reference, at), components=3)
    return float(np.mean(space.residuals(stack_views(positions, at))))
