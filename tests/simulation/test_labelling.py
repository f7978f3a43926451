"""Labelled frames and splits of a simulated study."""

import numpy as np
import pytest

import tinbergen as tb
from tinbergen.errors import ConfigError
from tinbergen.pose import open_labels


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "study"
    return out, tb.simulate(
        out, animals=3, duration=20.0, fps=4.0, size=(64, 96), views=("oblique",), labels=5
    )


def test_labels_are_the_truth_where_it_is_visible(made):
    out, data = made
    labels = open_labels([out / "labelled"])
    assert len(labels) == 15
    for row, image in enumerate(labels.images):
        truth = data[image.parent.name]["keypoints"]
        frame = int(image.stem.removeprefix("img"))
        visible = truth.confidence[frame] > 0
        np.testing.assert_allclose(
            labels.positions[row][visible], truth.positions[frame][visible], atol=1e-3
        )
        assert np.isnan(labels.positions[row][~visible]).all()
    first = [int(i.stem.removeprefix("img")) for i in labels.images[:5]]
    assert first == [0, 20, 40, 59, 79]


def test_splits_are_part_of_the_dataset(made):
    _, data = made
    time = data.split("time")
    assert [len(part) for part in time.values()] == [3, 3, 3]
    spans = {part: each["animal0_session0"]["keypoints"].times for part, each in time.items()}
    assert spans["train"][-1] + 1.0 <= spans["validation"][0] + 0.25
    assert spans["validation"][-1] + 1.0 <= spans["test"][0] + 0.25
    animals = [set(part.animals.values()) for part in data.split("animals").values()]
    assert sorted(map(len, animals)) == [1, 1, 1] and len(set.union(*animals)) == 3


def test_more_labels_than_frames_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="labels: expected 0 to 8 frames"):
        tb.simulate(tmp_path / "a", animals=1, duration=2.0, fps=4.0, labels=9)
