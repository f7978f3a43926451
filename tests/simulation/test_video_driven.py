import cv2
import numpy as np
import pytest

from tinbergen.errors import DataError
from tinbergen.recordings import ImageFolder, Series, Video, write_video
from tinbergen.simulation import (
    VISUAL_REGIONS,
    Population,
    frame_times,
    visual_cells,
    visual_drives,
)
from tinbergen.simulation.video_driven import _filters, _respond, _window

Y, X = np.mgrid[:64, :64] - 31.5
FILTERS, NAMES = _filters()


def grating(wavelength, angle, phase, contrast=60.0):
    along = X * np.cos(angle) + Y * np.sin(angle)
    return (contrast * np.cos(2 * np.pi * along / wavelength + phase)).astype(np.float32)


def cells_of(kind):
    return np.array([name.startswith(kind) for name in NAMES])


def film(path, shape, n=40, zoom=1):
    """A shape (function of x, y from its centre) that travels over a textured floor."""
    rng, size = np.random.default_rng(0), (96 * zoom, 128 * zoom)
    floor = cv2.GaussianBlur(rng.uniform(60, 140, size).astype(np.float32), (0, 0), 2)
    y, x = np.mgrid[: size[0], : size[1]] / zoom

    def images():
        for i in range(n):
            place_x, place_y = 30 + 68 * i / (n - 1), 48 + 14 * np.sin(i / 5)
            image = np.where(shape(x - place_x, y - place_y), 230, floor)
            yield np.repeat(image.astype(np.uint8)[..., None], 3, axis=2)

    write_video(path, images(), frame_times(n / 20, 20.0))
    return Video(path)


def test_complex_cells_do_not_see_the_phase_but_the_orientation():
    for wavelength, turn in ((32.0, 0), (32.0, 2), (16.0, 1)):
        angle = np.pi * turn / 4
        phases = np.linspace(0, 2 * np.pi, 9)
        windows = np.stack([grating(wavelength, angle, phase) for phase in phases])
        found = np.expm1(_respond(windows, FILTERS))
        inside = cells_of(f"energy{wavelength:g}_{turn}_")
        middle = inside & np.array([name.endswith("_0_0") for name in NAMES])
        energy = found[:, middle]
        assert energy.std() / energy.mean() < 0.05
        across = cells_of(f"energy{wavelength:g}_{(turn + 2) % 4}_")
        assert found[:, inside].mean() > 5 * found[:, across].mean()


def test_even_light_is_brightness_and_no_contrast():
    found = _respond(np.full((1, 64, 64), 40.0, np.float32), FILTERS)[0]
    np.testing.assert_allclose(found[cells_of("energy")], 0, atol=1e-3)
    np.testing.assert_allclose(found[cells_of("bright")], 10.0, rtol=1e-4)


def test_gaze_goes_to_what_stands_out_and_not_to_a_broad_shadow():
    difference = np.zeros((96, 128), np.float32)
    y, x = np.mgrid[:96, :128]
    difference -= 40 * np.exp(-0.5 * (((x - 25) / 30) ** 2 + ((y - 48) / 40) ** 2))
    difference[50:62, 88:104] += 90
    window = _window(difference)
    spot = window > 50
    middle_y, middle_x = (axis[spot].mean() for axis in np.mgrid[:64, :64])
    assert abs(middle_x - 31.5) < 5 and abs(middle_y - 31.5) < 5


def test_cells_follow_the_animal_and_tell_what_it_looks_like(tmp_path):
    def disc(x, y):
        return x**2 + y**2 < 14**2

    def bar(x, y):
        return (np.abs(x) < 20) & (np.abs(y) < 5)

    round_cells = visual_cells(film(tmp_path / "disc.mp4", disc))
    long_cells = visual_cells(film(tmp_path / "bar.mp4", bar))
    assert round_cells.channels == NAMES and round_cells.values.dtype == np.float32
    between = np.abs(round_cells.values.mean(0) - long_cells.values.mean(0))
    within = (round_cells.values[5:-5].std(0) + long_cells.values[5:-5].std(0)) / 2
    strong = between > np.quantile(between, 0.7)
    assert np.median(between[strong] / within[strong]) > 3


def test_the_size_of_the_frames_hardly_matters(tmp_path):
    def disc(x, y):
        return x**2 + y**2 < 14**2

    video = film(tmp_path / "disc.mp4", disc)
    big = film(tmp_path / "big.mp4", disc, zoom=2)
    small, large = visual_cells(video).values, visual_cells(big).values
    assert small.shape == large.shape
    assert np.corrcoef(small.mean(0), large.mean(0))[0, 1] > 0.95


def test_drives_are_standardised_on_an_even_grid_and_repeatable(tmp_path):
    video = film(tmp_path / "v.mp4", lambda x, y: (x**2 / 4 + y**2) < 100)
    cells = visual_cells(video)
    times, drives = visual_drives(cells)
    assert {name for region in VISUAL_REGIONS for name in region.reads} == set(drives)
    np.testing.assert_allclose(np.diff(times), 0.02)
    assert times[0] == cells.times[0] and times[-1] < cells.valid.stops[-1]
    for drive in drives.values():
        assert drive.shape == times.shape
        assert drive.mean() == pytest.approx(0, abs=1e-9)
        assert drive.std() == pytest.approx(1)
    again = visual_drives(visual_cells(Video(video.path)))[1]
    for name, drive in drives.items():
        np.testing.assert_array_equal(drive, again[name])
    part = visual_cells(video.view(gray=True))
    np.testing.assert_allclose(part.values, cells.values, atol=0.05)


def test_change_is_the_derivative_of_a_pool():
    times = np.arange(300) / 30
    wave = np.sin(2 * np.pi * 0.5 * times)
    values = np.zeros((300, len(NAMES)))
    values[:, cells_of("energy")] = wave[:, None]
    grid, drives = visual_drives(Series(times, values, NAMES))
    slope = np.cos(2 * np.pi * 0.5 * grid)
    inner = (grid > 0.5) & (grid < 9.5)
    for name, drive in drives.items():
        if name.startswith("change"):
            assert abs(np.corrcoef(drive[inner], slope[inner])[0, 1]) > 0.99


def test_a_still_film_gives_steady_rates(tmp_path):
    frame = np.full((96, 128, 3), 90, np.uint8)
    write_video(tmp_path / "still.mp4", iter([frame] * 10), frame_times(0.5, 20.0))
    times, drives = visual_drives(visual_cells(Video(tmp_path / "still.mp4")))
    assert all((drive == 0).all() for drive in drives.values())
    population = Population.draw(6, np.random.default_rng(0), VISUAL_REGIONS)
    rates = population.rates(times, drives, np.random.default_rng(1), drift=0.0)
    np.testing.assert_allclose(np.ptp(rates.values, axis=0), 0, atol=1e-4)


def test_a_damaged_frame_shows_what_was_seen_before(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(6):
        cv2.imwrite(str(tmp_path / f"{i}.png"), rng.integers(0, 255, (96, 128), np.uint8))
    (tmp_path / "3.png").write_bytes(b"broken")
    cells = visual_cells(ImageFolder(tmp_path, fps=10.0))
    np.testing.assert_array_equal(cells.values[3], cells.values[2])
    assert (cells.values[4] != cells.values[3]).any()
    (tmp_path / "all").mkdir()
    for i in range(2):
        (tmp_path / "all" / f"{i}.png").write_bytes((tmp_path / "1.png").read_bytes()[:200])
    with pytest.raises((DataError, OSError, ValueError)):
        visual_cells(ImageFolder(tmp_path / "all", fps=10.0))


def test_one_frame_is_no_film():
    with pytest.raises(DataError, match="2 frames"):
        visual_drives(Series(np.array([0.0]), np.zeros((1, len(NAMES))), NAMES))
