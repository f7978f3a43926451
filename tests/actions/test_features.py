import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tinbergen.actions import FeatureConfig, features_of
from tinbergen.actions.social import social_motion, social_pair
from tinbergen.errors import ConfigError, DataError
from tinbergen.recordings import Keypoints, Recording, Series

NAMES = ("head", "body", "tail")


def two_animals(frames=50, seed=0):
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.normal(size=(frames, 2, 1, 2)), axis=0) + 100 * rng.normal(size=(2, 1, 2))
    return walk + rng.normal(size=(frames, 2, 3, 2)) + np.array([[10.0, 0], [0, 0], [-10, 0]])


def recording(positions, fps=20.0, **streams):
    individuals = tuple(f"animal{i}" for i in range(positions.shape[1]))
    pose = Keypoints(
        np.arange(len(positions)) / fps, positions, keypoints=NAMES, individuals=individuals
    )
    return Recording("day", {"pose": pose, **streams})


def test_swapping_the_names_of_two_animals_changes_no_social_feature():
    positions = two_animals()
    positions[5:9, 0, 1] = np.nan
    swap = np.random.default_rng(1).random(len(positions)) < 0.5
    swapped = positions.copy()
    swapped[:] = positions[:, ::-1]
    assert swap.any()
    one = features_of(recording(positions)).series
    other = features_of(recording(swapped)).series
    assert one.channels == other.channels
    assert_allclose(one.values, other.values, atol=1e-5)


def test_social_features_of_two_animals_face_to_face():
    facing = np.array([[[[1.0, 0], [0, 0], [-1, 0]], [[5.0, 0], [6, 0], [7, 0]]]] * 2)
    facing[1, 1] -= [0.5, 0]
    found = social_pair(facing, 0, 1, 2, np.array([[0.0, 0.5]] * 2))
    assert len(found) == 19
    assert found["front_front"].tolist() == [4, 3.5]
    assert found["middle_middle"].tolist() == [6, 5.5]
    assert found["back_back"].tolist() == [8, 7.5]
    assert_allclose(found["headings"], -1, atol=1e-5)
    assert_allclose(found["facing_lo"], 1, atol=1e-5)
    assert found["approach"].tolist() == [0, -0.5]
    assert found["body_speed_hi"].tolist() == [0, 0.5]
    assert found["body_speed_lo"].tolist() == [0, 0]
    assert found["missing_hi"].tolist() == [0.5, 0.5]
    seen = np.ones((2, 2, 3), bool)
    seen[1, 0] = False
    motion = social_motion(facing, seen, 0, 1, 2)
    assert_allclose(motion["closing_hi"], [0, 0.5], atol=1e-5)
    assert motion["nearest"][0] == 4
    assert np.isnan(motion["nearest"][1])
    assert motion["seen_lo"].tolist() == [1, 0]


def test_missing_keypoints_are_filled_and_counted():
    positions = two_animals()
    positions[10:20, 0] = np.nan
    found = features_of(recording(positions), FeatureConfig(sets=("missing",), velocity=False))
    assert found.series.channels == ("animal0/missing", "animal1/missing")
    assert_array_equal(found.series.values[10:20], [[1, 0]] * 10)
    assert found.series.values[20:].sum() == 0
    assert np.isfinite(features_of(recording(positions)).series.values).mean() > 0.9


def test_a_keypoint_that_was_never_seen_is_noted_and_no_keypoint_at_all_is_refused():
    positions = two_animals()
    positions[:, 1, 2] = np.nan
    found = features_of(recording(positions))
    assert found.notes == ("day: animal1/tail was not seen in any frame.",)
    positions[:] = np.nan
    with pytest.raises(DataError, match=r"'day'.*no keypoint was seen in any of 50 frames"):
        features_of(recording(positions))


def test_keypoints_below_the_least_confidence_are_missing():
    positions = two_animals()
    confidence = np.full(positions.shape[:3], 0.9)
    confidence[3, 0, 0] = 0.1
    pose = Keypoints(np.arange(50) / 20, positions, confidence, NAMES, ("a", "b"))
    config = FeatureConfig(sets=("missing",), velocity=False, least_confidence=0.5)
    values = features_of(Recording("day", {"pose": pose}), config).series.values
    assert_allclose(values[3], [1 / 3, 0], atol=1e-6)
    assert values.sum() == pytest.approx(1 / 3)


def test_one_animal_has_features_of_its_own():
    positions = two_animals()[:, :1]
    found = features_of(recording(positions))
    assert "ego head x" in found.series.channels
    assert "change of speed tail" in found.series.channels
    assert found.rate == pytest.approx(20)
    with pytest.raises(ConfigError, match="two animals, found 1"):
        features_of(recording(positions), FeatureConfig(sets=("social",)))


def test_series_join_on_the_frames_of_the_keypoints():
    times = np.arange(0, 2, 0.01)
    wheel = Series(times, np.stack([times, -times], axis=1), ("left", "right"))
    config = FeatureConfig(sets=("missing",), series=("wheel",), velocity=False)
    found = features_of(recording(two_animals(), wheel=wheel), config).series
    assert found.channels[-2:] == ("wheel:left", "wheel:right")
    inside = found.times <= times[-1]
    assert_allclose(found.values[inside, -2], found.times[inside], atol=1e-6)
    assert np.isnan(found.values[~inside, -2]).all()


def test_series_alone_are_enough():
    wheel = Series(np.arange(30) / 10, np.arange(30.0), ("speed",))
    found = features_of(Recording("day", {"wheel": wheel}), FeatureConfig(series=("wheel",)))
    assert found.series.channels == ("wheel:speed", "change of wheel:speed")
    with pytest.raises(DataError, match="no series was named"):
        features_of(Recording("day", {"wheel": wheel}))


def test_windows_are_given_in_seconds():
    found = features_of(
        recording(two_animals()),
        FeatureConfig(sets=("missing",), velocity=False, windows=(0.5,)),
    )
    assert found.series.channels[2:] == (
        "mean over 0.5 s of animal0/missing",
        "mean over 0.5 s of animal1/missing",
        "deviation over 0.5 s of animal0/missing",
        "deviation over 0.5 s of animal1/missing",
    )


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"front": "nose"}, "no 'nose'; there is: head, body, tail"),
        ({"front": "tail"}, "one keypoint"),
        ({"individuals": ("fred",)}, "no 'fred'"),
        ({"keypoints": "wheel"}, "no keypoints stream"),
    ],
)
def test_names_that_do_not_exist_are_refused(settings, text):
    wheel = Series(np.arange(3.0), np.arange(3.0))
    with pytest.raises(ConfigError, match=text):
        features_of(recording(two_animals(), wheel=wheel), FeatureConfig(**settings))
