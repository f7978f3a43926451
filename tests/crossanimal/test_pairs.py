"""Pairs of neural and pose recordings: borders, clocks, parts."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinbergen.crossanimal import Animal, animals_of
from tinbergen.crossanimal.pairs import segment_bounds, window
from tinbergen.crossanimal.tables import Scaling, Tables
from tinbergen.errors import DataError
from tinbergen.recordings import Keypoints, Recording, Series, Spikes, Trials


def fly(n=64, n_pose=400, **more) -> Any:
    rng = np.random.default_rng(0)
    pose = rng.random((n_pose, 6)).astype(np.float32)
    return Animal("fly", rng.random((n, 5)).astype(np.float32), np.arange(n) / 16, pose,
                  np.arange(n_pose) / 100, **more)  # fmt: skip


def test_windows_of_the_published_reader():
    def clipped(centre, length, stride):
        return np.clip(window(np.array(centre), length, stride), 0, 999)

    assert clipped(100, 3, 3).tolist() == [97, 100, 103]
    assert clipped(100, 8, 3).tolist() == [88, 91, 94, 97, 100, 103, 106, 109]
    assert clipped(50, 32, 1).tolist() == list(range(34, 66))
    assert clipped(1, 4, 1).tolist() == [0, 0, 1, 2]


def test_each_neural_frame_finds_the_pose_of_its_time():
    animal = fly()
    assert np.abs(animal.pose_times[animal.centre] - animal.times).max() <= 0.005 + 1e-9
    late = fly(n=80)  # neural frames go on after the last pose
    assert late.centre[-1] == -1
    assert len(late.paired) < 80


@given(st.integers(1, 12), st.integers(1, 4), st.integers(0, 1000))
def test_no_window_leaves_its_segment(length, stride, seed):
    rng = np.random.default_rng(seed)
    segment = np.repeat(np.arange(6), rng.integers(1, 20, 6))
    n = len(segment)
    animal = Animal("a", rng.random((n, 3)), np.arange(n) / 10, rng.random((n, 2)),
                    segment=segment)  # fmt: skip
    tables = Tables.of([animal, animal], Scaling.of([animal, animal]))
    import torch

    rows = torch.arange(n)
    assert (segment[tables.neural_rows(rows, length, stride)] == segment[:, None]).all()
    at = tables.pose_rows(tables.centre[rows], length, stride)
    assert (animal.pose_segment[at] == segment[:, None]).all()


def test_parts_hold_nothing_of_the_rest_and_keep_their_pairs():
    animal = fly()
    part = animal.between(10, 30)
    assert len(part) == 20
    np.testing.assert_array_equal(part.neural, animal.neural[10:30])
    np.testing.assert_array_equal(part.pose[part.centre], animal.pose[animal.centre[10:30]])
    step = 1 / 16
    assert part.pose_times[0] >= animal.times[10] - step
    assert part.pose_times[-1] <= animal.times[29] + step


def test_segment_bounds():
    first, last = segment_bounds(np.array([-1, 0, 0, 3]))
    assert first.tolist() == [0, 1, 1, 3]
    assert last.tolist() == [0, 2, 2, 3]


def recording(trials=False):
    t = np.arange(40) / 10
    rng = np.random.default_rng(1)
    streams = {
        "calcium": Series(t, rng.random((40, 4))),
        "spikes": Spikes(np.sort(rng.random(200) * 4), rng.integers(0, 3, 200)),
        "body": Keypoints(t, rng.random((40, 1, 3, 2))),
        "speed": Series(t, rng.random(40)),
    }
    if trials:
        import pandas as pd

        streams["trials"] = Trials(pd.DataFrame({"start": [0.5, 1.5], "stop": [1.5, 2.5]}))
    return Recording("m", streams, subject="mouse")


def test_recordings_become_animals():
    animal: Any = animals_of(recording(), "calcium", "body")[0]
    assert (animal.name, animal.subject, animal.space) == ("m", "mouse", 2)
    assert animal.pose.shape == (40, 6)
    both: Any = animals_of(recording(), "calcium", ("body", "speed"))[0]
    assert (both.pose.shape, both.space) == ((40, 7), 0)
    counts = animals_of(recording(), "spikes", "body", bin_width=0.2)[0]
    assert counts.neural.shape[1] == 3
    with pytest.raises(DataError, match="bin_width"):
        animals_of(recording(), "spikes", "body")


def test_trials_are_segments_even_where_they_touch():
    animal = animals_of(recording(trials=True), "calcium", "body", trials="trials")[0]
    assert animal.segment[:5].tolist() == [-1] * 5
    assert (animal.segment[5:15] == 0).all()
    assert (animal.segment[15:25] == 1).all()
    assert (animal.centre[25:] == -1).all()


def test_a_trial_ends_at_a_gap_in_what_was_recorded():
    whole = recording(trials=True)
    t = np.delete(np.arange(40) / 10, slice(7, 13))  # within the first trial
    streams = {"calcium": Series(t, np.zeros((34, 4))), "body": Series(t, np.zeros((34, 2))),
               "trials": whole["trials"]}  # fmt: skip
    animal = animals_of(Recording("m", streams), "calcium", "body", trials="trials")[0]
    first = animal.segment[(t >= 0.5) & (t < 1.5)]
    assert len(np.unique(first)) == 2
    assert first[1] != first[2]
    np.testing.assert_array_equal(animal.segment, animal.pose_segment)


def test_an_empty_part_is_refused():
    with pytest.raises(DataError, match="no frame from 70 to 90"):
        fly().between(70, 90)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"times": np.arange(63) / 16}, "64 frames"),
        ({"times": np.arange(64)[::-1] / 16}, "ascending"),
        ({"space": 4}, "keypoints"),
        ({"centre": np.full(64, 500)}, "below 400"),
        ({"neural": np.zeros(64)}, "expected traces"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    base = {"neural": np.zeros((64, 2)), "times": np.arange(64) / 16,
            "pose": np.zeros((400, 6)), "pose_times": np.arange(400) / 100}  # fmt: skip
    with pytest.raises(DataError, match=message):
        Animal("a", **{**base, **change})
