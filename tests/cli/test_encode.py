"""encode, decode and convert on a small simulated study."""

import numpy as np
import pandas as pd
import pytest

import tinbergen as tb
from tinbergen.recordings import (
    CountsCache,
    Intervals,
    Recording,
    Series,
    Spikes,
    Trials,
    read_nwb,
)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two recordings with units that follow the wheel, and one without spikes."""
    folder = tmp_path_factory.mktemp("study")
    recordings = []
    for number in range(3):
        rng = np.random.default_rng(number)
        times = np.arange(0, 80, 0.05)
        speed = np.convolve(rng.normal(size=1600), np.ones(20) / 4.5, "same")
        table = pd.DataFrame({"region": ["a", "a", "b"]})
        counts = rng.poisson(np.exp(speed[:, None] * [0.5, -0.5, 0.7] - 0.5))
        rows, units = np.nonzero(counts)
        spikes = Spikes(times[rows] + 0.02, units, table, Intervals([0], [80]))
        start = np.arange(1.0, 78.0, 2.0)
        side = np.where(speed[np.searchsorted(times, start) + 10] > 0, "left", "right")
        trials = Trials(pd.DataFrame({"start": start, "stop": start + 1, "side": side}))
        streams = {"wheel": Series(times, speed, ("speed",), "cm/s"), "trials": trials}
        streams |= {"spikes": spikes} if number < 2 else {}
        recordings.append(Recording(f"day{number}", streams, "m"))
    tb.Dataset(recordings[:2]).save(folder / "good")
    tb.Dataset(recordings).save(folder / "bad")
    return folder


def test_encode_writes_a_run_and_its_page(cli, study, tmp_path):
    out = tmp_path / "run"
    said = cli(
        "encode", study / "good", "--from", "wheel", "--out", out, "--set", "lags=[0,0]",
        "--set", "components=null",
    )  # fmt: skip
    assert said.code == 0, said.err
    assert "bits/spike" in said.out
    assert (out / "report.html").is_file()
    again = cli("encode", study / "good", "--from", "wheel", "--out", out)
    assert again.code == 1
    assert "nothing is overwritten" in again.err


def test_one_model_for_all_recordings(cli, study, tmp_path):
    command = ["encode", study / "good", "--from", "wheel", "--align", "start", "--bin", "0.1"]
    said = cli(*command, "--model", "bilinear", "--together", "--out", tmp_path / "run")
    assert said.code == 0, said.err
    assert "each recording by itself: " in said.out
    assert "Gain over each recording by itself: " in said.out
    assert "day1: " in said.out
    said = cli(*command, "--together", "--out", tmp_path / "ridge")
    assert said.code == 2
    assert "tcn and bilinear" in said.err


def test_decode_and_a_bad_recording(cli, study, tmp_path):
    command = ["decode", study / "bad", "--to", "side", "--after", "1", "--no-report"]
    said = cli(*command, "--out", tmp_path / "a")
    assert said.code == 1
    assert "--skip-bad" in said.err
    said = cli(*command, "--out", tmp_path / "a", "--skip-bad")
    assert said.code == 3, said.err
    assert "balanced accuracy" in said.out
    assert "day2" in said.out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--from", "whel"], 1, "no stream 'whel'"),
        (["--from", "wheel", "--model", "rigde"], 2, "did you mean 'ridge'"),
        (["--from", "wheel", "--set", "lag=2"], 2, "did you mean 'lags'"),
        (["--from", "wheel", "--bin", "-1"], 2, "bin"),
        ([], 2, "--from"),
    ],
)
def test_mistakes_are_explained(cli, study, tmp_path, arguments, code, says):
    said = cli("encode", study / "good", "--out", tmp_path / "run", *arguments)
    assert (said.code, says in said.err) == (code, True), said.err
    assert not (tmp_path / "run").exists()


def test_convert_to_nwb_with_predictions(cli, study, tmp_path):
    run = tmp_path / "run"
    cli("decode", study / "good", "--to", "wheel", "--out", run, "--no-report")
    said = cli("convert", study / "good", tmp_path / "nwb", "--run", run)
    assert said.code == 0, said.err
    back = read_nwb(tmp_path / "nwb" / "day0.nwb")
    name = next(stream for stream in back.streams if stream.startswith("predictions/"))
    result = tb.encoding.open_study(run)
    expected = result.predicted["day0"].models["spikes"]
    assert np.allclose(back[name].values, expected, atol=1e-5)
    assert cli("convert", study / "good", tmp_path / "nwb").code == 1


def test_convert_to_a_cache(cli, study, tmp_path):
    command = ["convert", study / "bad", tmp_path / "cache", "--to", "cache", "--align", "start"]
    assert cli(*command).code == 1
    said = cli(*command, "--skip-bad")
    assert said.code == 3, said.err
    cache = CountsCache(tmp_path / "cache")
    assert cache["day0"].shape == (39, 50, 3)
