"""The cache of counts: what it holds, what it refuses, and that it is whole or absent."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinbergen.errors import DataError, MissingFileError, OutputError
from tinbergen.recordings import (
    CountsCache,
    CountsConfig,
    Intervals,
    Recording,
    Series,
    Spikes,
    Trials,
    build_counts_cache,
    trial_windows,
)

AROUND_STIM = CountsConfig(width=0.1, align="stim", before=0.5, after=1.0)


def session(name: str, n_units: int, seed: int, rate: float = 20.0) -> Recording:
    rng = np.random.default_rng(seed)
    n = int(rate * n_units * 60)
    ids = [f"{name}-{k}" for k in range(n_units)]
    table = pd.DataFrame({"region": ["CA1"] * n_units, "depth": rng.normal(size=n_units)}, ids)
    times, units = np.sort(rng.uniform(0, 60, n)), rng.integers(0, max(n_units, 1), n)
    spikes = Spikes(times, units, table, Intervals([0], [60]))
    stim = np.arange(1, 59, 3.0) + rng.uniform(0, 1, 20)
    stim[4] = np.nan
    trials = {"start": np.arange(1, 59, 3.0), "stop": np.arange(3, 61, 3.0), "stim": stim}
    trials["choice"] = rng.integers(0, 2, 20)
    return Recording(name, {"spikes": spikes, "trials": Trials(pd.DataFrame(trials))}, "m1")


@pytest.fixture
def sessions() -> dict[str, Recording]:
    return {"a": session("a", 5, 0), "b": session("b", 9, 1), "c": session("c", 2, 2)}


def test_holds_what_was_counted(sessions, tmp_path):
    cache = build_counts_cache(sessions, tmp_path / "cache", AROUND_STIM)
    again = CountsCache.open(tmp_path / "cache")
    assert len(cache) == 57 and list(again.recordings) == ["a", "b", "c"]
    row = 0
    for name, recording in sessions.items():
        windows = trial_windows(
            recording["trials"], "stim", before=0.5, after=1.0, width=0.1, streams=recording
        )
        counts = windows.of(recording["spikes"])
        assert again[name].dtype == np.uint8
        np.testing.assert_array_equal(again[name], counts)
        np.testing.assert_array_equal(again.read(name, [7, 2]), counts[[7, 2]])
        np.testing.assert_array_equal(again.window(row + 3), counts[3])
        listed = again.windows.iloc[row + 3]
        assert listed["recording"] == name and listed["window_start"] == windows.starts[3]
        assert listed["choice"] == windows.table["choice"].iloc[3]
        assert again.left_out(name).reasons == {"no time in 'stim'": (4,)}
        row += len(windows)
    units = again.units[again.units["recording"] == "b"]
    assert units["unit"].tolist() == [f"b-{k}" for k in range(9)]
    np.testing.assert_array_equal(units["depth"], sessions["b"]["spikes"].table["depth"])
    assert again.recordings["b"].shape == (19, 15, 9) and again.config == AROUND_STIM
    assert again.notes == []


def test_files_are_plain(sessions, tmp_path):
    build_counts_cache(sessions, tmp_path / "cache", AROUND_STIM)
    files = {file.name for file in (tmp_path / "cache").iterdir()}
    assert files == {"counts.npy", "units.parquet", "windows.parquet", "meta.json"}
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    data = np.load(tmp_path / "cache/counts.npy", allow_pickle=False)
    assert data.dtype == np.uint8 and data.ndim == 1
    copy = pickle.loads(pickle.dumps(CountsCache(tmp_path / "cache")))
    np.testing.assert_array_equal(copy.window(0), CountsCache(tmp_path / "cache").window(0))
    assert "57 windows, 3 recordings" in repr(copy)


@settings(max_examples=15)
@given(
    counts=st.lists(st.integers(0, 700), min_size=1, max_size=4),
    n_units=st.integers(1, 3),
)
def test_no_count_wraps_around(counts, n_units, tmp_path_factory):
    times = np.concatenate([k + np.linspace(0.1, 0.8, n) for k, n in enumerate(counts)])
    spikes = Spikes(
        times,
        np.full(len(times), n_units - 1),
        pd.DataFrame(index=range(n_units)),
        Intervals([0], [len(counts)]),
    )
    quiet = Recording("quiet", {"spikes": Spikes.of({1: [0.5]}, valid=Intervals([0], [2]))})
    loud = Recording("loud", {"spikes": spikes})
    config = CountsConfig(width=1.0, length=1.0)
    cache = build_counts_cache([loud, quiet], tmp_path_factory.mktemp("c") / "cache", config)
    np.testing.assert_array_equal(cache["loud"][:, 0, -1], counts)
    np.testing.assert_array_equal(cache["quiet"][:, 0, 0], [1, 0])
    wide = max(counts) > 255
    assert cache["loud"].dtype == (np.uint16 if wide else np.uint8)
    assert cache["quiet"].dtype == np.uint8
    assert len(cache.notes) == wide and cache.recordings["loud"].largest == max(counts)


def test_overflow_may_be_refused(tmp_path):
    spikes = Spikes.of({"u": np.linspace(0, 0.9, 300)}, valid=Intervals([0], [1]))
    config = CountsConfig(width=1.0, overflow="refuse")
    with pytest.raises(DataError, match="'loud': unit 'u' has 300 spikes in one bin of 1 s"):
        build_counts_cache([Recording("loud", {"spikes": spikes})], tmp_path / "c", config)
    assert not list(tmp_path.iterdir())


def test_sliding_windows_over_what_is_covered(sessions, tmp_path):
    wheel = Series(np.arange(10, 30, 0.1), np.zeros(200))
    recording = Recording("a", {**sessions["a"].streams, "wheel": wheel})
    config = CountsConfig(width=0.1, length=2.0, step=1.0, cover=("wheel",))
    cache = build_counts_cache([recording], tmp_path / "cache", config)
    assert cache["a"].shape == (19, 20, 5)
    assert cache.windows["window_start"].tolist() == pytest.approx(list(range(10, 29)))


class TestReuse:
    def test_same_content_is_not_built_again(self, sessions, tmp_path):
        key = build_counts_cache(sessions, tmp_path / "cache", AROUND_STIM).key
        before = (tmp_path / "cache/meta.json").stat().st_mtime_ns
        again = build_counts_cache(list(sessions.values()), tmp_path / "cache", AROUND_STIM)
        assert again.key == key
        assert (tmp_path / "cache/meta.json").stat().st_mtime_ns == before

    @pytest.mark.parametrize("what", ["config", "spikes", "trials"])
    def test_other_content_is_refused_or_replaces_it(self, sessions, tmp_path, what):
        key = build_counts_cache(sessions, tmp_path / "cache", AROUND_STIM).key
        config, changed = AROUND_STIM, dict(sessions)
        streams = dict(sessions["c"].streams)
        if what == "config":
            config = AROUND_STIM.updated(width=0.05)
        elif what == "spikes":
            streams["spikes"] = streams["spikes"].between(0, 59.5)
        else:
            streams["trials"] = streams["trials"].between(0, 50)
        changed["c"] = Recording("c", streams, "m1")
        with pytest.raises(OutputError, match="other recordings or settings"):
            build_counts_cache(changed, tmp_path / "cache", config)
        assert CountsCache(tmp_path / "cache").key == key
        assert build_counts_cache(changed, tmp_path / "cache", config, overwrite=True).key != key
        assert [path.name for path in tmp_path.iterdir()] == ["cache"]


class TestRefuses:
    def test_a_build_that_fails_leaves_nothing(self, sessions, tmp_path):
        broken = [*sessions.values(), Recording("d", {})]
        with pytest.raises(DataError, match="'d' has no stream 'spikes'"):
            build_counts_cache(broken, tmp_path / "cache", AROUND_STIM)
        assert not list(tmp_path.iterdir())

    def test_input(self, sessions, tmp_path):
        with pytest.raises(DataError, match="Two recordings are called 'a'"):
            build_counts_cache([sessions["a"]] * 2, tmp_path / "cache", AROUND_STIM)
        config = AROUND_STIM.updated(before=0.0, after=500.0)
        with pytest.raises(DataError, match="No window.* left in 3 recordings.*covered by 'spi"):
            build_counts_cache(sessions, tmp_path / "cache", config)
        with pytest.raises(DataError, match="expected Spikes in 'trials', found a Trials"):
            build_counts_cache(sessions, tmp_path / "cache", AROUND_STIM.updated(spikes="trials"))
        taken = sessions["a"]["spikes"].table.assign(unit=1)
        spikes = sessions["a"]["spikes"]
        named = Spikes(spikes.times, spikes.units, taken, spikes.valid)
        recording = Recording("a", {"spikes": named, "trials": sessions["a"]["trials"]})
        with pytest.raises(DataError, match="has a column 'unit', a name that the cache needs"):
            build_counts_cache([recording], tmp_path / "cache", AROUND_STIM)

    def test_output(self, sessions, tmp_path):
        (tmp_path / "cache").mkdir()
        (tmp_path / "cache/thesis.txt").write_text("precious")
        with pytest.raises(OutputError, match="holds something else"):
            build_counts_cache(sessions, tmp_path / "cache", AROUND_STIM, overwrite=True)
        assert (tmp_path / "cache/thesis.txt").read_text() == "precious"

    def test_what_is_no_cache(self, sessions, tmp_path):
        with pytest.raises(MissingFileError, match="Expected a cache of counts"):
            CountsCache(tmp_path / "nowhere")
        with pytest.raises(DataError, match=r"no meta\.json"):
            CountsCache(tmp_path)
        cache = build_counts_cache(sessions, tmp_path / "cache", AROUND_STIM)
        with pytest.raises(KeyError, match="No recording 'z' among 3: a, b, c"):
            cache["z"]
        with pytest.raises(IndexError, match="windows 0 to 56; asked for 57"):
            cache.window(57)
        path = tmp_path / "cache/counts.npy"
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(DataError, match=r"counts\.npy is damaged"):
            CountsCache(tmp_path / "cache").window(0)
        path.write_bytes(b"")
        with pytest.raises(DataError, match=r"counts\.npy is damaged"):
            CountsCache(tmp_path / "cache").window(0)
        (tmp_path / "cache/units.parquet").write_bytes(b"")
        with pytest.raises(DataError, match=r"units\.parquet is damaged"):
            _ = CountsCache(tmp_path / "cache").units
        (tmp_path / "cache/meta.json").write_text('{"form')
        with pytest.raises(DataError, match=r"meta\.json is damaged"):
            CountsCache(tmp_path / "cache")


def test_recordings_are_taken_one_at_a_time(tmp_path):
    class Lazy(Mapping[str, Recording]):
        alive: list[str] = []

        def __getitem__(self, name: str) -> Recording:
            self.alive.append(name)
            return session(name, 2, int(name))

        def __iter__(self) -> Iterator[Any]:
            return iter(map(str, range(4)))

        def __len__(self) -> int:
            return 4

    data = Lazy()
    cache = build_counts_cache(data, tmp_path / "cache", AROUND_STIM)
    assert data.alive == ["0", "1", "2", "3"] == list(cache.recordings)


def test_mixed_columns_and_units_without_spikes(tmp_path):
    table = pd.DataFrame({"label": ["good", 3, None], "ok": [True, None, False]}, [1, "x", 7])
    spikes = Spikes(np.array([0.5]), np.array([0]), table, Intervals([0], [2]))
    cache = build_counts_cache(
        [Recording("a", {"spikes": spikes})], tmp_path / "c", CountsConfig(width=0.5)
    )
    assert cache.units["unit"].tolist() == ["1", "x", "7"]
    assert cache.units["label"].fillna("none").tolist() == ["good", "3", "none"]
    assert cache["a"].sum() == 1 and cache["a"].shape == (2, 2, 3)
