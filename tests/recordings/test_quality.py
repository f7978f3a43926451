"""Rules for units and trials: who goes, and that it is said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinbergen.errors import DataError
from tinbergen.recordings import (
    Intervals,
    LeftOut,
    Spikes,
    Trials,
    filter_trials,
    filter_units,
    unit_quality,
)


@pytest.fixture
def spikes() -> Spikes:
    trains = {
        "fast": np.arange(0, 100, 0.1),
        "slow": np.arange(0, 100, 10.0),
        "early": np.arange(0, 20, 0.1),
        "silent": [],
        "double": np.sort(np.concatenate([np.arange(0, 100, 0.5), np.arange(0, 100, 0.5) + 1e-3])),
        "lost": np.arange(0, 100, 0.1),
    }
    table = pd.DataFrame(
        {"quality": ["good"] * 5 + [None], "region": ["A", "A", "B", "B", "C", "C"]},
        index=list(trains),
    )
    return Spikes.of(trains, table, Intervals([0], [100]))


class TestUnits:
    def test_measures(self, spikes):
        found = unit_quality(spikes, presence_width=10)
        assert found["rate"].tolist() == [10, 0.1, 2, 0, 4, 10]
        assert found["presence"].tolist() == [1, 1, 0.2, 0, 1, 1]
        violations = found["isi_violations"].to_numpy()[[0, 3, 4]]
        np.testing.assert_allclose(violations, [0, np.nan, 200 / 399])

    @given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2000)), max_size=60))
    def test_intervals_like_brute_force(self, pairs):
        trains = {u: sorted(t / 1000 for v, t in pairs if v == u) for u in range(4)}
        spikes = Spikes.of(trains, valid=Intervals([0], [3]))
        found = unit_quality(spikes, refractory=0.0105)
        for unit, train in trains.items():
            steps = np.diff(train)
            expected = (steps < 0.0105).mean() if len(steps) else np.nan
            np.testing.assert_allclose(found["isi_violations"][unit], expected)

    def test_every_rule_and_its_account(self, spikes):
        kept, left_out = filter_units(
            spikes,
            min_rate=1,
            where={"quality": "good"},
            min_presence=0.5,
            presence_width=10,
            max_isi_violations=0.1,
        )
        assert list(kept.table.index) == ["fast"]
        np.testing.assert_array_equal(kept.times, spikes.train("fast"))
        assert dict(left_out.reasons) == {
            "no spike in the recorded time": ("silent",),
            "quality unknown": ("lost",),
            "rate below 1 Hz": ("slow",),
            "present in less than 0.5 of 10-s bins": ("early",),
            "more than 0.1 of intervals below 1.5 ms": ("double",),
        }
        assert len(left_out) == 5 and spikes.n_units == 6
        lines = str(left_out).splitlines()
        assert lines[0] == "units: 1 of 6 kept" and lines[1].endswith("1: silent")

    def test_regions(self, spikes):
        kept, left_out = filter_units(spikes, where={"region": ["A", "C"]}, max_rate=5)
        assert list(kept.table.index) == ["slow", "double"]
        assert left_out.reasons["region not A or C"] == ("early",)
        with pytest.raises(DataError, match="no column 'area' .* there is: quality, region"):
            filter_units(spikes, where={"area": "A"})

    def test_no_units_and_no_time(self):
        kept, left_out = filter_units(Spikes.of({}, valid=Intervals()))
        assert kept.n_units == 0 and str(left_out) == "units: 0 of 0 kept"
        kept, left_out = filter_units(Spikes.of({"a": [1.0]}, valid=Intervals()))
        assert left_out.reasons == {"no spike in the recorded time": ("a",)}


class TestTrials:
    @pytest.fixture
    def trials(self) -> Trials:
        table = pd.DataFrame(
            {
                "start": [0.0, 10, 20, 30, 40, 50, 55],
                "stop": [2.0, 12, 22, 45, 42, 58, 60],
                "stim": [0.5, 10.5, 20.5, 30.5, 40.5, 50.5, 55.5],
                "move": [0.8, 10.52, np.nan, 31, 41, 51, 56],
                "choice": [1, -1, 1, -1, 0, 1, -1],
                "side": ["l", "r", "l", None, "r", "l", "r"],
            }
        )
        return Trials(table)

    def test_every_rule_and_its_account(self, trials):
        kept, left_out = filter_trials(
            trials,
            duration=(1, 10),
            reaction=("stim", "move"),
            where={"choice": [-1, 1]},
            drop_overlapping=True,
            mask=np.array([True] * 7),
        )
        assert kept.start.tolist() == [0]
        assert dict(left_out.reasons) == {
            "choice not -1 or 1": (4,),
            "duration not 1 to 10 s": (3,),
            "no time in 'stim' or 'move'": (2,),
            "reaction time not 0.08 to 2 s": (1,),
            "overlaps another trial": (5, 6),
        }
        assert left_out.as_dict()["reasons"]["overlaps another trial"] == [5, 6]

    def test_known_and_mask(self, trials):
        kept, left_out = filter_trials(trials, known=["side"], mask=trials.start < 35)
        assert kept.start.tolist() == [0, 10, 20]
        assert left_out.reasons["'side' unknown"] == (3,)
        assert len(filter_trials(trials)[1]) == 0
        with pytest.raises(DataError, match="mask of 7 trials, bool; found int64 of shape"):
            filter_trials(trials, mask=[0, 1])
        with pytest.raises(DataError, match="no column 'go'"):
            filter_trials(trials, known=["go"])


def test_long_lists_are_cut():
    text = str(LeftOut("trials", 100, {"too long": tuple(range(20))}, note="be careful"))
    assert text.splitlines() == [
        "trials: 80 of 100 kept",
        "  too long  20: 0, 1, 2, 3, 4, 5, 6, 7, ...",
        "  be careful",
    ]
