"""Neural recordings that are broken or odd: a message that names the file, or a counted loss."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tinbergen.recordings import CountsCache, Dataset, Recording, Spikes, read_nwb, write_nwb

RNG = np.random.default_rng(0)
YAML = """
schema_version: 1
recordings:
  m1:
    streams:
      spikes: {kind: spikes, file: spikes.npz}
      wheel: {kind: series, file: wheel.csv}
      trials: {kind: trials, file: trials.csv}
"""
SESSION = "schema_version: 1\nrecordings: {m1: {streams: {%s: {kind: %s, file: %s}}}}\n"
TIMES = np.sort(RNG.uniform(0, 60, 3000))
UNITS = RNG.integers(0, 4, 3000)
STARTS = np.arange(1.0, 58, 2)


def spikes(folder: Path, times: Any = TIMES, units: Any = UNITS, **more: Any) -> None:
    np.savez(folder / "spikes.npz", times=times, units=units, **more)


def wheel(folder: Path, start: float = 0.0, values: Any = None, duration: float = 60.0) -> None:
    times = np.arange(start, start + duration, 0.05)
    values = np.cumsum(RNG.normal(size=len(times))) if values is None else values
    pd.DataFrame({"time": times, "speed": values}).to_csv(folder / "wheel.csv", index=False)


def trials(folder: Path, start: Any = STARTS, stop: Any = None) -> None:
    stop = start + 1 if stop is None else stop
    side = np.where(np.arange(len(start)) % 2, "left", "right")
    table = pd.DataFrame({"start": start, "stop": stop, "side": side})
    table.to_csv(folder / "trials.csv", index=False)


@pytest.fixture
def folder(tmp_path):
    """A sound dataset, to be broken."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "dataset.yaml").write_text(YAML)
    for write in (spikes, wheel, trials):
        write(data)
    return data


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def kilosort(folder: Path, n: int = 50) -> Path:
    (folder / "ks").mkdir()
    np.save(folder / "ks" / "spike_times.npy", np.arange(n) * 100)
    np.save(folder / "ks" / "spike_clusters.npy", np.arange(n) % 3)
    (folder / "dataset.yaml").write_text(SESSION % ("spikes", "kilosort", "ks"))
    return folder / "ks"


def nwb(folder: Path, *streams: str) -> Path:
    session = Dataset.open(folder)["m1"]
    write_nwb(folder / "a.nwb", session.only(*streams))
    (folder / "dataset.yaml").write_text(SESSION % ("session", "nwb", "a.nwb"))
    return folder / "a.nwb"


def yaml(folder: Path, text: str) -> None:
    (folder / "dataset.yaml").write_text(text)


BROKEN: dict[str, tuple[Callable[[Path], Any], int, tuple[str, ...]]] = {
    "unsorted": (lambda f: spikes(f, TIMES[::-1]), 1, ("spikes.npz", "backwards", "Sort them")),
    "unit without a row": (
        lambda f: spikes(f, ids=np.arange(3)), 1, ("spikes.npz", "0 to 2", "leave their spikes")
    ),
    "NaN times": (lambda f: spikes(f, [0, 1, np.nan], [0, 0, 0]), 1, ("spikes.npz", "1 of 3")),
    "NaN units": (lambda f: spikes(f, [0, 1], [0, np.nan]), 1, ("spikes.npz", "no unit (NaN)")),
    "no arrays": (lambda f: np.savez(f / "spikes.npz"), 1, ("spikes.npz", "times, units")),
    "no byte": (lambda f: (f / "spikes.npz").write_bytes(b""), 1, ("spikes.npz", "no archive")),
    "half": (lambda f: halve(f / "spikes.npz"), 1, ("spikes.npz", "cut off")),
    "objects": (
        lambda f: spikes(f, np.array([[0.0], [1.0, 2.0]], dtype=object), [0, 1]), 1,
        ("spikes.npz", "Python objects", "np.concatenate"),
    ),
    "empty csv": (lambda f: (f / "wheel.csv").write_text(""), 1, ("wheel.csv", "series")),
    "text": (lambda f: (f / "wheel.csv").write_text("time,a\n0,x\n"), 1, ("wheel.csv", "'x'")),
    "stop before start": (
        lambda f: trials(f, stop=STARTS - 0.5), 1, ("trials.csv", "stops before it starts", "29")
    ),
    "no stop": (lambda f: trials(f, stop=STARTS * np.nan), 1, ("trials.csv", "no stop")),
    "no params.py": (kilosort, 1, ("params.py", "sample_rate")),
    "empty Kilosort": (
        lambda f: (kilosort(f) / "spike_times.npy").write_bytes(b""), 1, ("spike_times.npy",)
    ),
    "half an NWB": (
        lambda f: halve(nwb(f, "spikes", "wheel", "trials")), 1, ("a.nwb", "damaged")
    ),
    "NWB without units": (lambda f: nwb(f, "wheel", "trials"), 1, ("no stream 'spikes'",)),
    "misspelt": (lambda f: yaml(f, YAML.replace("file", "fil")), 2, ("dataset.yaml", "'file'")),
    "misspelt on top": (
        lambda f: yaml(f, YAML.replace("recordings", "recording")), 2,
        ("dataset.yaml", "did you mean 'recordings'"),
    ),
    "empty yaml": (lambda f: yaml(f, ""), 2, ("dataset.yaml", "recordings")),
    "no recording": (lambda f: yaml(f, "recordings: {}"), 1, ("dataset.yaml", "no recording")),
    "an hour apart": (lambda f: wheel(f, 3600), 1, ("'m1'", "wheel", "clocks")),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_encode_refuses(cli, folder, tmp_path, case):
    break_it, code, words = BROKEN[case]
    break_it(folder)
    said = cli("encode", folder, "--from", "wheel", "--out", tmp_path / "run", "--no-report")
    assert said.code == code, said.err
    assert said.err.startswith("error: ")
    assert [word for word in words if word not in said.err] == [], said.err


@pytest.mark.parametrize(
    ("break_it", "code", "says"),
    [
        (lambda f: spikes(f, TIMES[::-1]), 3, "backwards"),
        (lambda f: (f / "spikes.npz").write_bytes(b""), 3, "cut off"),
        (lambda f: spikes(f, TIMES - 10), 3, "begins before 0 s"),
        (lambda f: spikes(f, ids=np.arange(6)), 0, "2 of 6 units are silent: 4, 5"),
        (lambda f: trials(f, stop=STARTS + 3), 0, "28 trials begin before the one before ends"),
        (lambda f: trials(f, STARTS + 30), 3, "14 of 29 trials lie outside spikes"),
        (lambda f: wheel(f, 3600), 3, "no time in common with spikes"),
        (lambda f: wheel(f, 30), 0, "covers 30.0 of"),
        (lambda f: wheel(f, values=np.where(np.arange(1200) < 60, np.nan, 1)), 0, "5.00%"),
        (lambda f: nwb(f, "wheel", "trials"), 0, "there is no table of units"),
        (lambda f: halve(nwb(f, "spikes")), 1, "damaged"),
    ],
)
def test_check_says_what_is_lost(cli, folder, break_it, code, says):
    break_it(folder)
    said = cli("check", folder, "--workers", "1")
    assert (said.code, says in " ".join(said.out.split())) == (code, True), said


def test_negative_times_keep_their_counts(cli, folder, tmp_path):
    spikes(folder, TIMES - 10)
    assert cli("convert", folder, tmp_path / "cache", "--to", "cache").code == 0
    counts = CountsCache(tmp_path / "cache")["m1"]
    assert counts.sum() == int((TIMES - TIMES[0] < 59).sum())


def test_convert_counts_trials_that_it_leaves_out(cli, folder, tmp_path):
    trials(folder, STARTS + 30)
    out = tmp_path / "cache"
    said = cli("convert", folder, out, "--to", "cache", "--align", "start")
    assert said.code == 0, said.err
    assert "trials: 14 of 29 kept" in said.out
    assert "not covered by 'spikes'  15: 14, 15" in said.out


def test_encode_counts_the_time_that_behaviour_does_not_cover(cli, folder, tmp_path):
    wheel(folder, 30)
    settings = ("--set", "lags=[0,0]", "--set", "components=null", "--no-report")
    said = cli("encode", folder, "--from", "wheel", "--out", tmp_path / "run", *settings)
    assert said.code == 0, said.err
    assert "599 bins" in said.out
    assert "seconds without wheel: 29.9" in said.out or "seconds without wheel: 30" in said.out


def test_decode_counts_trials_that_spikes_do_not_cover(cli, folder, tmp_path):
    trials(folder, STARTS + 30)
    said = cli("decode", folder, "--to", "side", "--out", tmp_path / "run", "--no-report")
    assert said.code == 0, said.err
    assert "14 trials" in said.out
    assert "15" in said.out.split("left out")[1]


def test_more_than_255_spikes_in_a_bin_are_counted(cli, folder, tmp_path):
    burst = np.linspace(30.001, 30.009, 300)
    spikes(folder, np.sort([0.0, *burst, 60.0]), np.zeros(302, int))
    said = cli("convert", folder, tmp_path / "cache", "--to", "cache")
    assert said.code == 0, said.err
    assert "up to 300 spikes of a unit in a bin, stored in two bytes" in said.out
    assert CountsCache(tmp_path / "cache")["m1"].max() == 300


@pytest.mark.parametrize("to", ["nwb", "cache"])
def test_output_that_is_there_or_cannot_be(cli, folder, tmp_path, to):
    out = tmp_path / "out"
    assert cli("convert", folder, out, "--to", to).code == 0
    before = {path: path.read_bytes() for path in out.iterdir()}
    said = cli("convert", folder, out, "--to", to, "--bin", "0.05")
    assert said.code == 1
    assert str(out) in said.err and "Choose another folder" in said.err
    assert before == {path: path.read_bytes() for path in out.iterdir()}
    (tmp_path / "file").write_text("x")
    said = cli("convert", folder, tmp_path / "file" / "deep", "--to", to)
    assert said.code == 1
    assert said.err.startswith("error: ") and "file" in said.err


@pytest.mark.parametrize("to", ["nwb", "cache"])
def test_read_only_output(cli, folder, small_disk, to):
    disk = small_disk("size=1m,ro")
    said = cli("convert", folder, disk / "out", "--to", to)
    assert said.code == 1
    assert "read-only" in said.err


def test_damaged_nwb_files_never_end_in_a_traceback(folder):
    sound = nwb(folder, "spikes", "wheel", "trials").read_bytes()
    generator = np.random.default_rng(1)
    read = refused = 0
    for _ in range(40):
        damaged = bytearray(sound)
        for place in generator.integers(0, len(sound), 30):
            damaged[place] = generator.integers(0, 256)
        (folder / "a.nwb").write_bytes(damaged)
        try:
            read_nwb(folder / "a.nwb")
            read += 1
        except ValueError as error:
            assert "a.nwb" in str(error)
            refused += 1
    assert min(read, refused) > 0


def test_a_neural_file_is_no_video(cli, folder):
    path = nwb(folder, "spikes")
    for file, kind in ((path, "nwb"), (folder / "spikes.npz", "spikes")):
        said = cli("pretrain", file, "--out", folder / "run")
        assert said.code == 1
        assert f"kind: {kind}, file: {file.name}" in said.err
        assert cli("check", file).code == 0  # which takes it as it is


def test_nwb_keeps_notes_and_what_is_not_known(cli, tmp_path):
    table = pd.DataFrame({"region": ["a", None, "b"], "n": pd.array([1, None, 2], dtype="Int64")})
    session = Recording(
        "m/1", {"spikes": Spikes(np.array([0.5, 0.7]), np.array([0, 2]), table)}, "m", ("odd",)
    )
    twin = Recording("m_1", {"spikes": Spikes(np.array([0.5]), np.array([0]))})
    Dataset([session, twin]).save(tmp_path / "data")
    stored = Dataset.open(tmp_path / "data")["m/1"]["spikes"].table
    assert list(stored["region"]) == ["a", "", "b"]
    np.testing.assert_array_equal(stored["n"], [1, np.nan, 2])
    said = cli("convert", tmp_path / "data", tmp_path / "nwb")
    assert said.code == 0, said.err
    files = sorted((tmp_path / "nwb").glob("*.nwb"))
    assert len(files) == 2
    assert sorted(read_nwb(path).notes[:1] for path in files) == [(), ("odd",)]
