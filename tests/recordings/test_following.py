import cv2
import h5py
import numpy as np
import pytest

from tinbergen.errors import ConfigError
from tinbergen.recordings import AnimalView, ArrayVideo, Dataset, ImageFolder, Recording, following

N, HEIGHT, WIDTH = 60, 60, 90
Y, X = np.mgrid[:HEIGHT, :WIDTH]
PATH = np.stack([20 + 50 * np.arange(N) / N, 30 + 10 * np.sin(np.arange(N) / 6)], axis=1)


def blob(x, y, radius=7.0):
    return (X - x) ** 2 + (Y - y) ** 2 < radius**2


def floor():
    rng = np.random.default_rng(0)
    return cv2.GaussianBlur(rng.uniform(60, 140, (HEIGHT, WIDTH)).astype(np.float32), (0, 0), 2)


def film(path, draw=lambda image, i: image):
    """A bright disc that travels over a textured floor; ``draw`` adds what disturbs."""
    images = [draw(np.where(blob(x, y), 220.0, floor()), i) for i, (x, y) in enumerate(PATH)]
    with h5py.File(path, "w") as file:
        file["video"] = np.stack(images).astype(np.uint8)
    return ArrayVideo(path, fps=20.0)


def errors(view):
    return np.linalg.norm(view.places.values - PATH, axis=1)


def test_the_animal_stays_in_the_middle_and_the_floor_goes(tmp_path):
    video = film(tmp_path / "v.h5")
    view = AnimalView(video, 24)
    assert errors(view).max() < 1.0
    assert (view.height, view.width, view.channels) == (24, 24, 1)
    np.testing.assert_array_equal(view.times, video.times)
    crops = view.frames(np.arange(N)).frames.astype(float)
    middle = np.mean([floor()[round(y), round(x)] for x, y in PATH])
    assert crops[:, 12, 12].mean() == pytest.approx(128 + (220 - middle) / 2, abs=1.5)
    # Around the disc there is nothing but the floor, which is gone.
    assert np.median(np.abs(crops[:, 0] - 128)) <= 1


def test_a_shadow_and_a_weaker_thing_do_not_draw_it_away(tmp_path):
    def shade(image, i):
        dark = 1 - 0.4 * np.exp(-0.5 * ((X - 90 * i / N) / 25) ** 2)
        return np.where(blob(10, 50, 4.0 if i % 7 else 0.0), 150, image) * dark

    assert errors(AnimalView(film(tmp_path / "v.h5", shade), 24)).max() < 3.0


def test_any_order_of_reading_gives_the_same_frames(tmp_path):
    view = AnimalView(film(tmp_path / "v.h5"), 24)
    whole = np.concatenate([batch.frames for batch in view.iterate(batch_size=7)])
    np.testing.assert_array_equal(view.frames([40, 3, 40]).frames, whole[[40, 3, 40]])
    np.testing.assert_array_equal(view.between(1.0, 2.0).frames([0]).frames, whole[20:21])
    colour = view.view(gray=False, size=(12, 12)).frame(5)
    assert colour.shape == (12, 12, 3) and (colour[..., 0] == colour[..., 2]).all()


def test_the_animal_is_sought_once_for_all_views(tmp_path, monkeypatch):
    calls = []
    found = following.follow
    monkeypatch.setattr(following, "follow", lambda *a: calls.append(1) or found(*a))
    view = AnimalView(film(tmp_path / "v.h5"), 24)
    small, clip = view.view(size=(8, 8)), view.between(0.5, 1.0)
    for each in (small, clip, view):
        each.frame(0)
    assert len(calls) == 1


def test_damaged_frames_stay_damaged(tmp_path):
    for i, (x, y) in enumerate(PATH):
        image = np.where(blob(x, y), 220.0, floor()).astype(np.uint8)
        cv2.imwrite(str(tmp_path / f"{i:02d}.png"), image)
    (tmp_path / "30.png").write_bytes(b"broken")
    view = AnimalView(ImageFolder(tmp_path, fps=20.0), 24)
    batch = view.frames(np.arange(N))
    assert np.flatnonzero(~batch.ok).tolist() == [30]
    assert errors(view).max() < 2.0


def test_nothing_that_moves_is_no_error(tmp_path):
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["video"] = np.full((5, HEIGHT, WIDTH), 90, np.uint8)
    view = AnimalView(ArrayVideo(tmp_path / "v.h5", fps=20.0), 24)
    assert (view.frames([0, 4]).frames == 128).all()


def test_a_dataset_file_keeps_it(tmp_path):
    view = AnimalView(film(tmp_path / "v.h5"), 24)
    Dataset([Recording("a", {"video": view})]).save(tmp_path / "study")
    again = Dataset.open(tmp_path / "study")["a"]["video"]
    assert isinstance(again, AnimalView) and again.follow == 24
    np.testing.assert_array_equal(again.frame(7), view.frame(7))
    later = view.retimed(lambda times: times + 5)
    Dataset([Recording("a", {"video": later})]).save(tmp_path / "later")
    np.testing.assert_allclose(
        Dataset.open(tmp_path / "later")["a"]["video"].times, view.times + 5
    )


def test_what_cannot_be_followed(tmp_path):
    video = film(tmp_path / "v.h5")
    with pytest.raises(ConfigError, match="8 px"):
        AnimalView(video, 4)
    with pytest.raises(ConfigError, match="a clip"):
        AnimalView(video.between(0, 1), 24)
