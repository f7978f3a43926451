"""Feature sets and regions beside nulls of their own, also where recordings have other regions."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tinbergen.encoding import decode, encode, open_study
from tinbergen.errors import DataError
from tinbergen.recordings import Dataset, Recording, Series

SMALL: dict[str, Any] = {"options": {"lags": (0, 0), "components": None}, "gap": 0.5}


def mouse(name, seed, regions, n=1500):
    """Units of ``M1`` follow the wheel, those of other regions nothing."""
    rng = np.random.default_rng(seed)
    times = np.arange(n) * 0.05
    wheel = np.convolve(rng.normal(size=n + 19), np.ones(20) / 20**0.5, "valid")[:, None]
    gain = np.where(np.array(regions) == "M1", 0.7, 0.0)
    counts = rng.poisson(np.exp(gain * wheel))
    table = pd.DataFrame({"region": regions, "probe": ["a", "b"] * (len(regions) // 2)})
    streams = {
        "wheel": Series(times, wheel, ("speed",), "cm/s"),
        "counts": Series(times, counts, unit="spikes/bin", table=table),
    }
    return Recording(name, streams, subject=name)


@pytest.fixture(scope="module")
def data():
    return Dataset(
        [mouse("one", 0, ["M1", "M1", "CA1", "CA1"]), mouse("two", 1, ["M1", "M1", "V1", "V1"])]
    )


def parts(result, by):
    return {part["name"]: part for part in result.summary["parts"] if part["by"] == by}


def test_each_region_is_decoded_from_where_it_is(data, tmp_path):
    out = tmp_path / "run"
    result = decode(data, features="counts/*", target="wheel", compare=True, out=out, **SMALL)
    found = parts(result, "features")
    assert list(found) == ["counts/CA1", "counts/M1", "counts/V1"]
    assert [part["recordings"] for part in found.values()] == [1, 2, 1]
    assert [part["columns"] for part in found.values()] == [2, 4, 2]
    alone = decode(data["one"], features="counts/CA1", target="wheel", **SMALL)
    assert found["counts/CA1"]["value"] == pytest.approx(alone.headline.value)
    assert found["counts/M1"]["p"] < 0.05 < min(found[f"counts/{r}"]["p"] for r in ("CA1", "V1"))
    assert "Each set by itself: 1 of 3 better" in result.text()
    read = open_study(out)
    assert read.text() == result.text()
    assert "counts/M1" in result.text() and "shifted in time" in result.text()
    assert set(read.nulls["target"]) == {"", *found}


def test_regions_of_the_target_have_their_own_null(data):
    result = encode(data, features="wheel", target="counts", **SMALL)
    found = parts(result, "region")
    assert next(iter(found)) == "M1"
    scores = result.scores[result.scores["features"] == "wheel"]
    for region, part in found.items():
        rows = scores[scores["region"] == region]
        assert part["value"] == pytest.approx(rows["value"].mean())
        assert part["null"] == pytest.approx(rows["shift_null"].mean())
        assert part["ignorant"] == pytest.approx(rows["null"].mean())
        assert part["n"] == len(rows)
    assert found["M1"]["p"] < 0.05 < min(found["CA1"]["p"], found["V1"]["p"])


def test_groups_by_another_column(data):
    result = decode(data, features="counts/probe=*", target="wheel", compare=True, **SMALL)
    assert list(parts(result, "features")) == ["counts/probe=a", "counts/probe=b"]


def test_a_table_without_the_column_is_named(data):
    with pytest.raises(DataError, match=r"table has shank, found region, probe"):
        decode(data["one"], features="counts/shank=*", target="wheel", **SMALL)


def test_what_a_set_explains_beyond_the_others():
    noise = np.random.default_rng(5).normal(size=(1500, 1))
    one = mouse("one", 0, ["M1"] * 4)
    times = one["wheel"].times
    more = {
        "copy": Series(times, one["wheel"].values, ("speed",)),
        "noise": Series(times, noise, ("a",)),
    }
    mouse_with = Recording("one", {**one.streams, **more})

    def gains(features):
        result = encode(mouse_with, features=features, target="counts", compare=True, **SMALL)
        scores = {s["name"]: s for s in result.summary["scores"]}
        table = result.scores[result.scores["score"] == "bits/spike"]
        means: Any = table.groupby("features")["value"].mean()
        for name in features.split(","):
            gain = scores[f"Gain by {name} beyond the others"]["value"]
            assert gain == pytest.approx(means["all"] - means[f"without {name}"])
        fitted = set(result.fits["features"]) - {"all", "plain linear"}
        return scores, means, fitted

    scores, means, fitted = gains("wheel,noise")
    assert scores["Gain by wheel beyond the others"]["interval"][0] > 0
    assert means["without wheel"] == means["noise"] and fitted == {"wheel", "noise"}
    # Of two that tell the same, neither tells anything beyond the other.
    scores, _, fitted = gains("wheel,copy,noise")
    assert len(fitted) == 6
    assert abs(scores["Gain by wheel beyond the others"]["value"]) < 0.01
