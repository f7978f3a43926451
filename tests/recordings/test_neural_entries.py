"""dataset.yaml with arrays, suite2p and whole sessions; what check says of neural streams."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from tinbergen.cli.main import app
from tinbergen.errors import ConfigError, DataError, MissingFileError
from tinbergen.recordings import (
    Dataset,
    Intervals,
    Keypoints,
    Labels,
    Recording,
    Series,
    Spikes,
    Trials,
    check_dataset,
)

RNG = np.random.default_rng(0)


@pytest.fixture
def arrays(tmp_path):
    trial_counts = RNG.poisson(1, (5, 3, 8)).astype(np.uint8)
    np.savez(
        tmp_path / "trials.npz",
        counts=trial_counts,
        times=np.arange(5)[:, None] * 2.0 + np.arange(8) * 0.01,
        side=np.array(["l", "r", "l", "r", "l"]),
        area=np.array(["V1", "V1", "CA1"]),
        on=np.arange(5) * 2000,
        off=np.arange(5) * 2000 + 500,
    )
    samples = np.sort(RNG.choice(300000, 500, replace=False))
    np.savez(tmp_path / "ks.npz", t=samples, u=RNG.integers(0, 4, 500), depth=np.arange(4) * 20.0)
    np.savetxt(tmp_path / "wheel.txt", RNG.normal(size=(100, 2)))
    np.save(tmp_path / "wheel_times.npy", np.arange(100) * 0.1)
    return tmp_path


YAML = """
schema_version: 1
recordings:
  m1:
    subject: mouse
    notes: [written by hand]
    streams:
      counts: {kind: series, file: trials.npz, values: counts, axes: [trial, unit, time],
               times: times, unit: spikes/bin, table: {region: area}}
      trials: {kind: trials, file: trials.npz, values: counts, axes: [trial, unit, time],
               times: times, columns: [side]}
      marks: {kind: trials, file: trials.npz, start: on, stop: off, rate: 1000,
              columns: {choice: side}}
      spikes: {kind: spikes, file: ks.npz, times: t, units: u, rate: 30000,
               table: {depth: depth}, valid: [0, 10]}
      wheel: {kind: series, file: wheel.txt, times: wheel_times.npy, channels: [x, y], unit: cm}
"""


ONE = "schema_version: 1\nrecordings:\n  m1:\n    streams:\n      %s\n"


def write(folder, text: str = YAML):
    path = folder / "dataset.yaml"
    path.write_text(text)
    return path


class TestEntries:
    def test_arrays(self, arrays, tmp_path):
        session = Dataset.open(write(arrays))["m1"]
        counts, trials = session["counts"], session["trials"]
        assert counts.values.shape == (40, 3) and len(counts.valid) == 5
        assert list(counts.table["region"]) == ["V1", "V1", "CA1"]
        assert list(trials.table["side"]) == list("lrlrl") and trials.start[1] == 2.0
        assert session["marks"].stop[-1] == 8.5
        assert session["spikes"].n_units == 4 and session["spikes"].valid == Intervals([0], [10])
        assert session["wheel"].channels == ("x", "y") and session["wheel"].times[-1] == 9.9
        assert session.notes == ("written by hand",)
        again = Dataset.open(Dataset([session]).save(tmp_path / "copy"))["m1"]
        assert list(again["counts"].table["region"]) == ["V1", "V1", "CA1"]
        assert again["counts"].valid == counts.valid and again.notes == session.notes
        assert np.array_equal(again["spikes"].times, session["spikes"].times)

    @pytest.mark.parametrize(
        ("entry", "error", "message"),
        [
            ("{kind: series, file: trials.npz, values: no, fps: 1}", DataError, "holds: .*counts"),
            ("{kind: series, file: wheel.txt, unit: m}", DataError, "either times or fps"),
            ("{kind: series, file: gone.mat, values: x, fps: 1}", MissingFileError, "gone.mat"),
            ("{kind: series, file: trials.npz, value: x}", ConfigError, "did you mean 'values'"),
            ("{kind: series, file: trials.npz, values: counts, axes: [trial, unit, time], fps: 9}",
             ConfigError, "not fps"),
            ("{kind: spikes, file: ks.npz, times: t, units: u}", DataError, "Give rate"),
            ("{kind: trials, file: trials.npz, columns: [side]}", ConfigError, "expected start"),
            ("{kind: suite2p, file: gone}", MissingFileError, "suite2p"),
            ("{kind: suite2p, file: gone, signal: dff}", ConfigError, "signal"),
            ("{kind: nvb, file: x}", ConfigError, "suite2p, kilosort, nwb, alf"),
        ],
    )  # fmt: skip
    def test_refused(self, arrays, entry, error, message):
        text = ONE % f"x: {entry}"
        with pytest.raises(error, match=message):
            Dataset.open(write(arrays, text))

    def test_suite2p(self, tmp_path):
        plane = tmp_path / "plane0"
        plane.mkdir()
        for name in ("F", "Fneu"):
            np.save(plane / f"{name}.npy", RNG.uniform(1, 2, (3, 50)))
        np.save(plane / "iscell.npy", np.array([[1, 0.9], [0, 0.2], [1, 0.6]]))
        entry = "{kind: suite2p, file: plane0, fps: 10, neuropil: 0.5}"
        text = ONE % f"x: {entry}"
        series = Dataset.open(write(tmp_path, text))["m1"]["x"]
        F, neuropil = np.load(plane / "F.npy"), np.load(plane / "Fneu.npy")
        assert np.allclose(series.values.T, (F - 0.5 * neuropil)[[0, 2]])

    def test_nwb_joins_the_recording(self, real_data, tmp_path):
        file = real_data / "neural/human_mtl_zheng_nwb/sub-4_ses-4_ecephys+image.nwb"
        text = ONE % "ephys: {{kind: nwb, file: {}{}}}"
        whole = Dataset.open(write(tmp_path, text.format(file, "")))["m1"]
        assert whole["spikes"].n_units == 35 and "recognition_table" in whole and whole.notes
        renamed = text.format(file, ", streams: {units: spikes, trials: recognition_table}")
        some = Dataset.open(write(tmp_path, renamed))["m1"]
        assert list(some.streams) == ["units", "trials"] and len(some["trials"]) == 180
        wrong = text.format(file, ", streams: [gone]")
        with pytest.raises(DataError, match="no stream 'gone'; it has: spikes"):
            Dataset.open(write(tmp_path, wrong))
        twice = text.format(file, "").replace(
            "ephys:", "spikes: {kind: spikes, file: a.npz}\n      ephys:"
        )
        Spikes.of({1: [0.0]}).write(tmp_path / "a.npz")
        with pytest.raises(ConfigError, match="'spikes' is there already; rename"):
            Dataset.open(write(tmp_path, twice))

    def test_kilosort(self, tmp_path):
        for probe in ("a", "b"):
            folder = tmp_path / probe
            folder.mkdir()
            np.save(folder / "spike_times.npy", np.arange(10) * 100)
            np.save(folder / "spike_clusters.npy", np.arange(10) % 2)
        one = ONE % "x: {kind: kilosort, file: a, sample_rate: 1000}"
        assert Dataset.open(write(tmp_path, one))["m1"]["x"].times[-1] == 0.9
        two = ONE % "x: {kind: kilosort, file: {V1: a, CA1: b}, sample_rate: 1000}"
        spikes = Dataset.open(write(tmp_path, two))["m1"]["x"]
        assert spikes.n_units == 4 and set(spikes.table["probe"]) == {"V1", "CA1"}

    @pytest.mark.parametrize(
        "entry", ["kilosort, file: gone", "kilosort, file: {a: gone}", "alf, file: gone"]
    )
    def test_folders_that_are_absent(self, entry, tmp_path):
        path = write(tmp_path, ONE % f"x: {{kind: {entry}}}")
        with pytest.raises(MissingFileError, match="gone"):
            Dataset.open(path)
        (row,) = check_dataset(path, workers=1)
        assert row.state == "unusable" and "gone" in row.file


def rows_of(**streams):
    rows = check_dataset(Dataset([Recording("m1", streams)]), workers=1)
    return {row.stream: row for row in rows}


class TestCheck:
    def test_counts(self, arrays):
        rows = {row.stream: row for row in check_dataset(write(arrays), workers=1)}
        assert rows["counts"].found == "3 units, 40 samples, 0.4 s, spikes/bin"
        assert rows["spikes"].found.startswith("4 units, 500 spikes, 10.0 s, median ")
        assert rows["trials"].found == "5 trials, median 0.08 s, side"
        assert {row.state for row in rows.values()} == {"ok"}
        assert rows["counts"].problems[-1] == "note: written by hand"

    def test_silent_units_and_spikes_outside(self):
        spikes = Spikes(
            np.array([0.5, 1.0, 2.0]),
            np.array([0, 0, 2]),
            pd.DataFrame(index=["a", "b", "c"]),
            Intervals([0], [2]),
        )
        row = rows_of(spikes=spikes)["spikes"]
        assert row.state == "ok"  # the last spike may end the recording
        assert "1 of 3 units are silent: b" in row.problems[0] and "silent" in row.hint
        late = Spikes(np.array([0.5, 1.0, 5.0]), np.zeros(3, int), valid=Intervals([0], [2]))
        row = rows_of(spikes=late)["spikes"]
        assert row.state == "losses" and "1 spikes lie outside" in row.problems[0]
        empty = rows_of(spikes=Spikes.of({"a": []}))["spikes"]
        assert empty.state == "unusable" and "no spike" in empty.problems[0]
        twice = rows_of(spikes=Spikes.of({"a": [0.0, 1, 1, 2, 2, 3]}))["spikes"]
        assert twice.state == "losses" and "2 spikes have the time" in twice.problems[0]

    def test_two_clocks(self):
        spikes = Spikes.of({"a": np.arange(100.0)})
        wheel = Series(np.arange(100.0) + 3600, np.arange(100.0))
        trials = Trials(pd.DataFrame({"start": [10.0, 200, 98.5], "stop": [11.0, 201, 99.5]}))
        second = Spikes.of({"a": 5000 + np.arange(9.0)})
        pose = Keypoints(wheel.times, np.zeros((100, 1, 1, 2)), keypoints=("nose",))
        rows = rows_of(spikes=spikes, wheel=wheel, trials=trials, probe=second, pose=pose)
        assert "no time in common with spikes" in rows["probe"].problems[0]
        assert "no time in common with spikes" in rows["pose"].problems[0]
        assert "no time in common with spikes: 3600.000 to" in rows["wheel"].problems[0]
        assert rows["wheel"].state == "losses" and "one clock" in rows["wheel"].hint
        said = rows["trials"].problems
        assert "1 of 3 trials lie outside spikes, the first is row 3 at 200.000 s" in said[0]
        assert "1 of 3 trials are covered by spikes in part" in said[1]
        later = Trials(pd.DataFrame({"start": [3600.0], "stop": [3601.0]}))
        said = rows_of(spikes=spikes, trials=later)["trials"].problems
        assert "no time in common" in said[0]

    def test_values_of_series(self):
        values = np.ones((50, 4))
        values[:, 1] = np.nan
        values[3, 2], values[:, 3] = np.nan, np.arange(50)
        times = np.append(np.arange(25.0), np.arange(25.0) + 500)
        row = rows_of(x=Series(times, values, tuple("abcd")))["x"]
        assert row.state == "losses" and "1 of 4 channels are NaN throughout: b" in row.problems[0]
        text = " ".join(row.problems)
        assert (
            "25.50% of the values are NaN" in text and "2 of 4 channels never vary: a, c" in text
        )
        assert "1 gaps" in text
        counts = rows_of(x=Series(np.arange(3.0), np.array([0.5, 1, 2]), unit="spikes/bin"))["x"]
        assert "whole numbers >= 0; found 0.5 to 2" in counts.problems[0]
        nothing = rows_of(x=Series(np.arange(3.0), np.full(3, np.nan)))["x"]
        assert nothing.state == "unusable"

    def test_trials_by_themselves(self):
        table = {"start": [0.0, 1, 5], "stop": [2.0, 3, 5], "choice": ["l", None, "r"]}
        text = " ".join(rows_of(t=Trials(pd.DataFrame(table)))["t"].problems)
        assert "1 trials begin before the one before ends, by up to 1.000 s" in text
        assert "1 trials have no duration" in text and "choice is not known in 1 of 3" in text

    def test_one_bad_file_does_not_hide_the_others(self, arrays):
        (arrays / "ks.npz").write_bytes(b"cut")
        (arrays / "wheel_times.npy").unlink()
        path = write(arrays)
        with pytest.raises(DataError, match="ks.npz"):
            Dataset.open(path)
        rows = {row.stream: row for row in check_dataset(path, workers=1)}
        assert {k for k, row in rows.items() if row.state == "unusable"} == {"spikes", "wheel"}
        assert "cannot be read" in rows["spikes"].problems[0]
        assert rows["counts"].state == "ok"

    def test_command(self, arrays, tmp_path):
        path = write(arrays)
        result = CliRunner().invoke(app, ["check", str(path), "--json", str(tmp_path / "c.json")])
        assert result.exit_code == 0, result.output
        assert "500 spikes" in result.output and "5 files: 5 ok" in result.output
        rows = json.loads((tmp_path / "c.json").read_text())["rows"]
        assert len(rows) == 5 and all(row["found"] for row in rows)
        (arrays / "ks.npz").write_bytes(b"cut")
        assert CliRunner().invoke(app, ["check", str(path)]).exit_code == 3


def test_clock_puts_a_stream_on_the_clock_of_the_recording(tmp_path):
    rng = np.random.default_rng(3)
    pulses = np.cumsum(rng.uniform(0.5, 1.5, 200))
    late = 3600.0 + pulses * (1 + 40e-6)  # the camera's clock: an hour ahead, and fast
    np.save(tmp_path / "camera.npy", late[5:])
    np.savez(tmp_path / "probe.npz", sync=pulses)
    times = np.arange(3700, 3720, 0.1)
    Series(times, np.sin(times), ("x",)).write(tmp_path / "pupil.npz")
    text = """
recordings:
  m1:
    streams:
      pupil:
        kind: series
        file: pupil.npz
        clock: {pulses: camera.npy, recording: "probe.npz:sync"}
"""
    (tmp_path / "dataset.yaml").write_text(text)
    mouse = Dataset.open(tmp_path)["m1"]
    expected = (times - 3600.0) / (1 + 40e-6)
    np.testing.assert_allclose(mouse["pupil"].times, expected, atol=1e-6)
    assert "195 of 195 and 200 pulses matched" in mouse.notes[0]
    (tmp_path / "dataset.yaml").write_text(text.replace("recording: ", "recordng: "))
    with pytest.raises(ConfigError, match="did you mean 'recording'"):
        Dataset.open(tmp_path)


def test_spikes_before_the_other_probe_began_are_no_damage():
    table = pd.DataFrame({"probe": ["a", "b"]})
    times, units = np.array([0.1, 1.0, 2.0, 3.0]), np.array([0, 1, 0, 1])
    spikes = Spikes(times, units, table, Intervals([1.0], [2.5]))
    (row,) = check_dataset(Dataset([Recording("m1", {"spikes": spikes})]))
    assert row.state == "ok"
    assert "2 spikes lie while not all probes recorded" in str(row)
    assert not row.hint


@pytest.mark.parametrize(("shift", "state"), [(0.5, "ok"), (20.0, "losses")])
def test_labels_are_compared_with_keypoints_where_there_is_no_video(shift, state):
    times = np.arange(200) / 10
    pose = Keypoints(times, np.zeros((200, 1, 1, 2)), keypoints=("nose",))
    labels = Labels.from_frames(times + shift, np.zeros(200, int), ("rest",))
    rows = check_dataset(Dataset([Recording("m1", {"pose": pose, "behaviour": labels})]))
    assert rows[1].state == state
    said = "20.0 of 20.0 s with labels lie outside pose, 0.0 to 20.0 s" in str(rows[1])
    assert said == (state == "losses")


@pytest.mark.parametrize(("first", "said"), [(-1e-4, False), (-0.1, True)])
def test_a_clock_that_rounds_to_zero_does_not_begin_before_it(first, said):
    wheel = Series(first + np.arange(100) / 10, np.sin(np.arange(100.0)), ("speed",), "cm/s")
    (row,) = check_dataset(Dataset([Recording("m1", {"wheel": wheel})]))
    assert ("begins before 0 s" in str(row)) == said
