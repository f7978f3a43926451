"""Cameras and points in space, against what was projected, OpenCV, and a real fly."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from tinbergen.errors import DataError, MissingFileError
from tinbergen.metrics import reprojection_errors, triangulate
from tinbergen.recordings import Camera, read_cameras


def ring(n: int, seed: int = 0, bent: bool = True) -> list[Camera]:
    """Cameras around the origin, 300 mm away, that look at it."""
    rng = np.random.default_rng(seed)
    cameras = []
    for k in range(n):
        turn = Rotation.from_euler("yx", [2 * np.pi * k / n, rng.uniform(-0.3, 0.3)])
        intrinsic = np.array([[900.0, 0, 480], [0, 920.0, 240], [0, 0, 1]])
        lens = rng.normal(0, [0.1, 0.05, 1e-3, 1e-3, 0.01]) if bent else np.zeros(5)
        rotation = turn.as_matrix()
        cameras.append(Camera(f"c{k}", intrinsic, rotation, np.array([0.0, 0, 300]), lens))
    return cameras


POINTS = np.random.default_rng(1).uniform(-40, 40, (5, 6, 3))


def test_projection_is_that_of_opencv():
    for camera in ring(3):
        vector = Rotation.from_matrix(camera.rotation).as_rotvec()
        expected, _ = cv2.projectPoints(
            POINTS.reshape(-1, 3), vector, camera.translation, camera.intrinsic, camera.distortion
        )
        found = camera.project(POINTS)
        np.testing.assert_allclose(found.reshape(-1, 2), expected[:, 0], atol=1e-6)
        plane = camera.undistort(found)
        seen = POINTS @ camera.rotation.T + camera.translation
        np.testing.assert_allclose(plane, seen[..., :2] / seen[..., 2:], atol=1e-9)


def test_what_is_behind_a_camera_is_not_seen():
    assert np.isnan(ring(1)[0].project([0.0, 0.0, -400.0])).all()


@given(st.integers(3, 7), st.integers(0, 50))
def test_projected_points_come_back(n, seed):
    cameras = ring(n, seed)
    pixels = np.stack([camera.project(POINTS) for camera in cameras])
    np.testing.assert_allclose(triangulate(pixels, cameras), POINTS, atol=1e-5)
    np.testing.assert_allclose(triangulate(pixels[:2], cameras[:2]), POINTS, atol=1e-4)
    assert np.nanmax(reprojection_errors(pixels, cameras)) < 1e-5
    assert np.nanmax(reprojection_errors(pixels, cameras, held_out=True)) < 1e-4
    assert triangulate(pixels[:, :0], cameras).shape == (0, 6, 3)


def test_missing_views_are_left_out():
    cameras = ring(5)
    pixels = np.stack([camera.project(POINTS) for camera in cameras])
    pixels[2, 0, 0] = pixels[:, 1, 1] = np.nan
    pixels[1:, 2, 2] = np.nan  # one view is too few
    found = triangulate(pixels, cameras)
    np.testing.assert_allclose(found[0, 0], POINTS[0, 0], atol=1e-5)
    assert np.isnan(found[1, 1]).all()
    assert np.isnan(found[2, 2]).all()
    errors = reprojection_errors(pixels, cameras)
    assert np.isnan(errors[2, 0, 0])
    assert np.isnan(errors[0, 2, 2])


def test_a_point_is_not_behind_a_camera_that_sees_it():
    cameras = ring(2, bent=False)
    beside = Camera(
        "c2", cameras[0].intrinsic, cameras[0].rotation, np.array([50.0, 0, 300]), np.zeros(5)
    )
    pair = [cameras[0], beside]
    ahead = np.array([[0.0, 0, 100]])
    pixels = np.stack([camera.project(ahead) for camera in pair])
    np.testing.assert_allclose(triangulate(pixels, pair), ahead, atol=1e-5)
    parting = np.array([[[480.0, 240]], [[200.0, 240]]])  # the rays meet behind both cameras
    assert np.isnan(triangulate(parting, pair)).all()
    assert np.isnan(reprojection_errors(parting, pair)).all()
    # No step may lead there either: a third view that does not agree draws the point far off.
    rng = np.random.default_rng(0)
    for _ in range(20):
        wild = rng.uniform(-3000, 3000, (3, 50, 2))
        found = triangulate(wild, [*pair, cameras[1]])
        known = np.isfinite(found).all(axis=-1)
        assert all(np.isfinite(c.project(found[known])).all() for c in [*pair, cameras[1]])


def test_a_far_point_changes_no_other():
    cameras = ring(4)[:2]
    rng = np.random.default_rng(0)
    near = rng.uniform(-40, 40, (20, 3))
    pixels = np.stack([c.project(near) for c in cameras]) + rng.normal(0, 1, (2, 20, 2))
    far = np.stack([c.project([[-1e7, 0, 1e7]]) for c in ring(4, bent=False)[:2]])
    both = np.concatenate([pixels, np.nan_to_num(far, nan=480.0)], axis=1)
    np.testing.assert_allclose(
        triangulate(both, cameras)[:20], triangulate(pixels, cameras), rtol=0, atol=1e-12
    )


def test_no_ray_where_the_lens_model_bends_none():
    camera = ring(1)[0]
    lens = np.array([-0.5, 0, 0, 0, 0])  # nothing is seen more than 0.54 from the middle
    folded = Camera("f", camera.intrinsic, camera.rotation, camera.translation, lens)
    plane = folded.undistort([[480.0, 240], [700, 240], [1400, 240], [9000, 9000], [np.nan, 1]])
    np.testing.assert_array_equal(np.isfinite(plane[:, 0]), [True, True, False, False, False])
    pixels = np.array([[[1400.0, 240]], [[480, 240]], [[480, 240]]])
    found = triangulate(pixels, [folded, *ring(4, bent=False)[1:3]])
    assert np.isfinite(found).all()


def test_noise_leaves_what_least_squares_leaves():
    """Residuals of 2 n numbers less 3 of the point: sum of squares sigma^2 (2 n - 3)."""
    cameras = ring(5, bent=False)
    points = np.random.default_rng(2).uniform(-40, 40, (4000, 3))
    exact = np.stack([camera.project(points) for camera in cameras])
    noisy = exact + np.random.default_rng(3).normal(0, 0.5, exact.shape)
    errors = reprojection_errors(noisy, cameras)
    assert (errors**2).sum(axis=0).mean() == pytest.approx(0.25 * (2 * 5 - 3), rel=0.03)
    # A view cannot pull a point that it does not see, so its error is larger.
    alone = reprojection_errors(noisy, cameras, held_out=True)
    assert (alone**2).mean() > 1.5 * (errors**2).mean()
    # Efficiency: covariance of the points is the Cramer-Rao bound sigma^2 (J^T J)^-1.
    found = triangulate(noisy, cameras)
    slopes = [
        np.concatenate([(c.project(points + e) - c.project(points)) / 1e-4 for c in cameras], -1)
        for e in 1e-4 * np.eye(3)
    ]
    jacobian = np.stack(slopes, axis=-1)
    bound = 0.25 * np.linalg.inv(jacobian.transpose(0, 2, 1) @ jacobian).trace(axis1=1, axis2=2)
    square = ((found - points) ** 2).sum(axis=1)
    assert square.mean() == pytest.approx(bound.mean(), rel=0.06)


def test_a_camera_is_found_from_known_points():
    camera = ring(3, bent=False)[1]
    points = POINTS.reshape(-1, 3)
    found = Camera.from_points(points, camera.project(points), "again")
    np.testing.assert_allclose(found.intrinsic, camera.intrinsic, atol=1e-5)
    np.testing.assert_allclose(found.rotation, camera.rotation, atol=1e-8)
    np.testing.assert_allclose(found.translation, camera.translation, atol=1e-5)
    with pytest.raises(DataError, match="at least 6 points"):
        Camera.from_points(points[:5], camera.project(points[:5]))
    flat = points * [1, 1, 0]
    with pytest.raises(DataError, match="lie in a plane"):
        Camera.from_points(flat, camera.project(flat))


def test_calibrations_of_anipose(tmp_path):
    path = tmp_path / "calibration.toml"
    cameras = ring(2)
    text = ""
    for camera in cameras:
        vector = Rotation.from_matrix(camera.rotation).as_rotvec()
        text += (
            f'[{camera.name}]\nname = "{camera.name}"\nsize = [960, 480]\n'
            f"matrix = {camera.intrinsic.tolist()}\ndistortions = {camera.distortion.tolist()}\n"
            f"rotation = {vector.tolist()}\ntranslation = {camera.translation.tolist()}\n"
        )
    path.write_text(text + "[metadata]\nadjusted = false\n")
    for read, camera in zip(read_cameras(path), cameras, strict=True):
        assert read.name == camera.name
        np.testing.assert_allclose(read.project(POINTS), camera.project(POINTS), atol=1e-9)
    with pytest.raises(MissingFileError, match=r"calibration \(.toml\)"):
        read_cameras(tmp_path / "none.toml")
    for broken, said in (
        ("no toml", "is not TOML"),
        ("[metadata]\n", "a section for each camera"),
        (text.replace("matrix", "matrices"), r"\[c0\]: expected 'matrix'"),
        (
            text.replace("translation = [0.0, ", "translation = ["),
            r"of shape \(3,\), found \(2,\)",
        ),
        (text.replace("size", "fisheye = true\nsize"), "fisheye"),
    ):
        path.write_text(broken)
        with pytest.raises(DataError, match=said):
            read_cameras(path)


def test_views_and_cameras_must_match():
    with pytest.raises(DataError, match=r"each of 3 views, \(view, ..., 2\), found \(2, 4, 2\)"):
        triangulate(np.zeros((2, 4, 2)), ring(3))


def test_a_real_fly_in_seven_views(real_data):
    """Cameras found from ten frames see the points of five other frames where they are.

    The places are of a grid of 7.5 px, whose rounding alone is 2.9 px off on average.
    """
    file = real_data / "video/fly_tethered_7views_df3d/df3d_result.npz"
    if not file.is_file():
        pytest.skip(f"no recordings at {file}")
    with np.load(file, allow_pickle=False) as arrays:
        points, places = arrays["points3d_wo_procrustes"], arrays["points2d"]
    pixels = np.where((places == 0).any(axis=-1, keepdims=True), np.nan, places[..., ::-1])
    pixels = np.delete(pixels, 3, axis=0) * [960, 480]  # the camera in front has no points
    cameras = [
        Camera.from_points(points[:10].reshape(-1, 3), view[:10].reshape(-1, 2)) for view in pixels
    ]
    new = pixels[:, 10:]
    known = np.stack([camera.project(points[10:]) for camera in cameras])
    assert np.nanmedian(np.linalg.norm(known - new, axis=-1)) < 4
    assert np.nanmedian(reprojection_errors(new, cameras)) < 3
    assert np.nanmedian(reprojection_errors(new, cameras, held_out=True)) < 8
    found = triangulate(new, cameras)
    size = np.ptp(points.reshape(-1, 3), axis=0).max()
    seen = np.isfinite(found).all(axis=-1)
    assert np.median(np.linalg.norm(found - points[10:], axis=-1)[seen]) < 0.02 * size
