from dataclasses import replace

import numpy as np
import pytest

from tinbergen.errors import ConfigError
from tinbergen.simulation import (
    KEYPOINTS,
    LATENTS,
    MOUSE,
    Camera,
    Latents,
    Renderer,
    Rig,
    Subject,
    random_rig,
    random_subject,
    simulate_latents,
)
from tinbergen.simulation.body import FUR, Body
from tinbergen.simulation.surface import Splats

QUIET = {
    "drift": 0.0,
    "flicker": 0.0,
    "passing_shadow": 0.0,
    "noise": 0.0,
    "occluder": "none",
    "grains": 0,
    "ball": 0.0,
}


def film(rig, n_subjects=1, seed=0, n=12, size=(192, 256), subjects=None):
    generator = np.random.default_rng(seed)
    subjects = subjects or [random_subject(f"m{i}", generator) for i in range(n_subjects)]
    bouts = [MOUSE.sample(30.0, generator) for _ in subjects]
    latents = simulate_latents(bouts, [s.scale for s in subjects], rig.arena[:2], generator)
    renderer = Renderer(subjects, rig, size)
    times = np.linspace(0.5, 29.5, n)
    return renderer, list(renderer.frames(latents, times, np.random.default_rng(seed)))


@pytest.mark.parametrize("view", ["oblique", "side", "top"])
@pytest.mark.parametrize("n_subjects", [1, 2])
def test_visible_keypoints_lie_on_the_animal(view, n_subjects):
    rig = random_rig(view, np.random.default_rng(3))
    # Without shadow on the floor the background stays as it is beside the animal.
    rig = replace(rig, **QUIET, light=(0.0, 0.0, 1.0))
    subjects = [Subject(coat=(0.95, 0.1, 0.1), skin=(0.1, 0.1, 0.95), fur=0.0)] * n_subjects
    renderer, frames = film(replace(rig, gray=False), subjects=subjects, n=30)
    on, total = 0, 0
    for frame in frames:
        colour = frame.image.astype(int)
        # Nothing in a rig is as saturated as this animal.
        animal = colour.max(axis=-1) - colour.min(axis=-1) > 0.5 * colour.max(axis=-1)
        x, y = np.rint(frame.keypoints[frame.visible]).astype(int).T
        around = [animal[y + j, np.clip(x + i, 0, 255)] for j in (0, -1) for i in (-1, 0, 1)]
        on += int(np.any(around, axis=0).sum())
        total += len(x)
    assert total > 0.4 * 30 * n_subjects * len(KEYPOINTS)
    assert on / total > 0.97


def test_most_of_the_image_is_static_without_disturbances():
    renderer, frames = film(replace(Rig(), **QUIET))
    for frame in frames:
        same = (frame.image == renderer.background).all(axis=-1)
        assert 0.5 < same.mean() < 0.99


@pytest.mark.parametrize("gray", [False, True])
def test_same_seed_same_pixels(gray):
    rig = Rig(gray=gray)
    _, first = film(rig, 2, seed=7)
    _, again = film(rig, 2, seed=7)
    _, other = film(rig, 2, seed=8)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_array_equal(a.keypoints, b.keypoints)
        np.testing.assert_array_equal(a.visible, b.visible)
    assert any((a.image != b.image).any() for a, b in zip(first, other, strict=True))
    assert first[0].image.shape == ((192, 256) if gray else (192, 256, 3))
    assert first[0].keypoints.shape == (2, len(KEYPOINTS), 2)


def test_disturbances_change_the_image_but_not_the_truth():
    quiet = replace(Rig(), **QUIET)
    _, calm = film(quiet, n=3)
    for name, value in {
        "drift": 0.1,
        "flicker": 0.05,
        "passing_shadow": 0.4,
        "noise": 5.0,
        "occluder": "bar",
        "grains": 80,
        "ball": 1.0,
    }.items():
        _, disturbed = film(replace(quiet, **{name: value}), n=3)
        for a, b in zip(calm, disturbed, strict=True):
            assert (a.image != b.image).any(), name
            np.testing.assert_array_equal(a.keypoints, b.keypoints)


def test_what_is_behind_the_occluder_is_not_visible():
    renderer, frames = film(replace(Rig(), **QUIET | {"occluder": "mesh"}), n=40)
    free = film(replace(Rig(), **QUIET), n=40)[1]
    hidden = 0
    for covered, clear in zip(frames, free, strict=True):
        assert not (covered.visible & ~clear.visible).any()
        hidden += int((clear.visible & ~covered.visible).sum())
    assert hidden > 5


def test_far_side_is_hidden_in_side_view():
    rig = replace(Rig(view="side", elevation=10.0, arena=(20.0, 10.0, 12.0)), **QUIET)
    renderer = Renderer([Subject()], rig)
    latents = Latents(np.array([0.0, 1.0]), np.zeros((2, len(LATENTS))))  # heads to the right
    (frame,) = renderer.frames([latents], np.array([0.5]), np.random.default_rng(0))
    seen = dict(zip(KEYPOINTS, frame.visible[0].tolist(), strict=True))
    assert seen["right_forepaw"] and seen["right_hindpaw"] and seen["nose"] and seen["right_ear"]
    assert not seen["left_hindpaw"]
    assert frame.keypoints[0, 0, 0] > frame.keypoints[0, -1, 0]


@pytest.mark.parametrize("view", ["oblique", "side", "top"])
def test_the_camera_sees_the_whole_arena(view):
    for seed in range(10):
        rig = random_rig(view, np.random.default_rng(seed))
        camera = Camera.of_rig(rig, (192, 256))
        x, y, wall = rig.arena
        corners = [(i * x / 2, j * y / 2, k) for i in (-1, 1) for j in (-1, 1) for k in (0, wall)]
        pixels, depth = camera.project(np.array(corners))
        assert (depth > 0).all()
        assert (pixels > 0).all() and (pixels < [255, 191]).all()


def test_a_sphere_covers_its_disc_and_has_its_depth():
    rig = replace(Rig(), **QUIET)
    renderer = Renderer([], rig, (192, 256))
    radius = 3.0
    centre = np.zeros((1, 1, 3)) + renderer.camera.target
    sphere = Body(centre, radius * np.eye(3)[None, None], ("ball",), (FUR,), np.empty((1, 0, 3)))
    canvas = np.zeros((192, 256, 3), np.float32)
    depth = renderer._draw(canvas, [Splats.of(sphere, renderer.camera)], 0)
    pixels_per_cm = renderer.camera.focal / rig.distance
    assert (canvas.sum(axis=-1) > 0).sum() == pytest.approx(
        np.pi * (radius * pixels_per_cm) ** 2, rel=0.08
    )
    x, y = np.rint(renderer.camera.centre).astype(int)
    assert depth[y, x] == pytest.approx(radius - rig.distance, abs=0.02)
    # Half way out, a sphere is sqrt(3)/2 of its radius deep.
    half = int(round(radius * pixels_per_cm / 2))
    expected = np.sqrt(radius**2 - (half / pixels_per_cm) ** 2) - rig.distance
    assert depth[y, x + half] == pytest.approx(expected, abs=0.05)


def test_nonsense_is_refused():
    with pytest.raises(ConfigError, match="view"):
        Rig(view="below")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="16 px"):
        Renderer([Subject()], Rig(), (8, 8))
