"""Distances, correct keypoints and poses against numbers worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinbergen.errors import DataError
from tinbergen.metrics import (
    PoseSubspace,
    error_by_difficulty,
    keypoint_distances,
    pck,
    pixel_error_score,
    pixel_errors,
    sigma_calibration,
    stack_views,
    temporal_norm,
)


class TestDistances:
    def test_three_readings_of_the_same_errors(self):
        d = keypoint_distances([[3, 4], [0, 0], [6, 8]], np.zeros((3, 2)))
        errors = pixel_errors(d)
        assert errors.mean == 5.0
        assert errors.rmse == pytest.approx(6.45497, abs=1e-5)
        assert errors.coordinate_rmse == pytest.approx(4.56435, abs=1e-5)

    def test_missing_on_either_side_does_not_count(self):
        d = keypoint_distances([[3, 4], [np.nan, 0]], [[0, 0], [1, 1]])
        np.testing.assert_array_equal(d, [5, np.nan])
        assert pixel_errors(d).mean == 5
        assert np.isnan(pixel_errors([np.nan]).mean)

    def test_one_joint_is_what_lightning_pose_logs(self):
        assert pixel_errors(keypoint_distances([[3.0, 4.0]], [[0.0, 0.0]])).coordinate_rmse == (
            pytest.approx(3.5355, abs=1e-4)
        )


class TestPck:
    distances = (0, 3, 6, 9, 12)

    def test_by_hand(self):
        np.testing.assert_allclose(pck(self.distances, [5, 10]), [0.4, 0.8])
        np.testing.assert_allclose(pck([np.nan, 1], 5), [1.0])
        assert np.isnan(pck([np.nan], [5])).all()

    def test_strict_and_not(self):
        limits = np.arange(1, 11)
        assert pck(self.distances, limits, strict=True).mean() == pytest.approx(0.44)
        assert pck(self.distances, limits).mean() == pytest.approx(0.50)


class TestScore:
    def test_the_interval_is_over_sessions(self):
        rng = np.random.default_rng(0)
        luck = np.repeat(rng.normal(10, 4, 6), 20)
        distances = np.abs(luck[:, None] + rng.normal(0, 0.1, (120, 3)))
        sessions = np.repeat(np.arange(6), 20)
        wide = pixel_error_score(distances, sessions, null=distances + 20)
        narrow = pixel_error_score(distances, np.zeros(120), null=distances + 20)
        assert wide.value == narrow.value == pytest.approx(distances.mean())
        assert wide.interval is not None
        assert narrow.interval is not None
        assert np.ptp(wide.interval) > 2 * np.ptp(narrow.interval)
        assert "over sessions" in wide.interval_name
        assert "one session" in narrow.interval_name
        assert wide.judge() == "good"

    def test_baselines_stand_beside_it(self):
        d = np.full((10, 2), 5.0)
        score = pixel_error_score(d, np.arange(10), null=d + 10, baselines={"other": d - 1})
        assert score.baselines[0].value == 4
        assert score.judge() == "fair"


def test_error_by_difficulty():
    curve = error_by_difficulty([1, 2, 3, np.nan], [0, 1, 5, 9], [0, 1, 4, 6])
    np.testing.assert_allclose(curve.error, [2, 2.5, 3, np.nan])
    np.testing.assert_array_equal(curve.n, [3, 2, 1, 0])


def test_temporal_norm():
    path = np.array([[0, 0], [0, 5], [25, 5], [np.nan, 5], [0, 0]], dtype=float)[:, None]
    np.testing.assert_allclose(temporal_norm(path)[:, 0], [np.nan, 5, 25, np.nan, np.nan])


def test_stated_uncertainty_that_is_right():
    rng = np.random.default_rng(0)
    sigma = rng.uniform(1, 5, 20_000)
    distances = np.hypot(*(rng.normal(0, sigma / np.sqrt(2), (2, 20_000))))
    found = sigma_calibration(distances, sigma)
    np.testing.assert_allclose(found.error, found.sigma, rtol=0.05)
    assert found.n.sum() == 20_000
    assert (np.diff(found.sigma) > 0).all()


class TestSubspace:
    def plane(self, n=400, d=8, k=3, seed=0):
        rng = np.random.default_rng(seed)
        axes = np.linalg.qr(rng.normal(size=(d, d)))[0]
        scale = np.array([30.0, 20.0, 10.0])[:k]
        return rng.normal(size=(n, k)) * scale @ axes[:k] + 100, axes

    def test_poses_on_it_have_no_residual(self):
        poses, _ = self.plane()
        space = PoseSubspace.fit(poses)
        assert len(space.axes) == 3
        assert space.residuals(poses).max() < 1e-9
        assert space.shares[:3].sum() == pytest.approx(1)

    def test_a_shift_along_a_discarded_axis_is_measured_in_px(self):
        poses, axes = self.plane()
        space = PoseSubspace.fit(poses, components=3)
        shifted = space.residuals(poses[:5] + 7 * axes[5])
        np.testing.assert_allclose(np.sqrt((shifted**2).sum(axis=1)), 7.0)

    @given(hnp.arrays(bool, 8, elements=st.booleans()))
    def test_missing_keypoints_are_left_out(self, missing):
        poses, _ = self.plane()
        space = PoseSubspace.fit(poses)
        some = poses[:4].copy()
        some[:, missing] = np.nan
        residuals = space.residuals(some)
        whole = ~missing.reshape(4, 2).any(axis=1)
        if (~missing).sum() >= 3:
            assert np.nan_to_num(residuals).max() < 1e-6
            assert np.isfinite(residuals[:, whole]).all()
        assert np.isnan(residuals[:, ~whole]).all()

    def test_two_views_of_a_distant_camera_span_three_dimensions(self):
        rng = np.random.default_rng(1)
        world = rng.normal(size=(500, 4, 3)) * 50
        cameras = rng.normal(size=(2, 3, 2))
        seen = np.einsum("tpw,vwi->tvpi", world, cameras).reshape(500, 8, 2)
        views = [[part, part + 4] for part in range(4)]
        stacked = stack_views(seen, views)
        assert stacked.shape == (2000, 2, 2)
        np.testing.assert_array_equal(stacked[1], seen[0, [1, 5]])
        space = PoseSubspace.fit(stacked)
        assert len(space.axes) <= 3
        assert PoseSubspace.fit(stacked, components=3).residuals(stacked).max() < 1e-8

    def test_too_few_whole_poses(self):
        poses = np.full((10, 4), np.nan)
        poses[:2] = 1.0
        with pytest.raises(DataError, match="at least 3 complete poses, found 2 of 10"):
            PoseSubspace.fit(poses)
        with pytest.raises(DataError, match="x and y of each"):
            PoseSubspace.fit(np.zeros((9, 3)))
