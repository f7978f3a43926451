import numpy as np
import pytest
from typer.testing import CliRunner

from tinbergen.cli.main import app
from tinbergen.errors import ConfigError
from tinbergen.recordings import Dataset
from tinbergen.recordings.intervals import Bins
from tinbergen.simulation import ceiling_bits_per_spike, expected_counts, simulate
from tinbergen.simulation import study as study_module

FILM: dict = {"animals": 1, "duration": 4.0, "size": (96, 128), "seed": 5}


def hashes(folder, streams):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for stream in streams
        for path in sorted((folder / stream).rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ephys")
    plain = simulate(folder / "plain", **FILM)
    options = {"recordings_per_animal": 2, "neurons": 20, "visual_neurons": 9, "task": True}
    full = simulate(folder / "full", **FILM, **options)
    return folder, plain, full


def test_neurons_leave_film_and_truth_as_they_are(studies):
    folder, plain, full = studies
    old = hashes(folder / "plain", ("videos", "keypoints", "behaviour", "latents"))
    new = hashes(folder / "full", ("videos", "keypoints", "behaviour", "latents"))
    assert old and {name: new[name] for name in old} == old
    assert set(plain["animal0_session0"].streams) == {
        "video",
        "keypoints",
        "behaviour",
        "latents",
    }
    assert {path.name for path in (folder / "plain").iterdir()} == {
        "videos",
        "keypoints",
        "behaviour",
        "latents",
        "dataset.yaml",
    }


def test_the_dataset_file_brings_back_spikes_rates_and_trials(studies):
    folder, _, _ = studies
    data = Dataset.open(folder / "full")
    for recording in data.values():
        assert {"spikes", "rates", "visual_spikes", "visual_rates"} < set(recording.streams)
        assert {"trials", "wheel", "whisker"} < set(recording.streams)
        for kind in ("", "visual_"):
            spikes, rates = recording[f"{kind}spikes"], recording[f"{kind}rates"]
            bins = Bins.inside(rates.valid, 0.5)
            expected, found = expected_counts(rates, bins), spikes.bin(bins)
            z = (found - expected) / np.sqrt(expected)
            assert abs(z.mean()) < 0.5 and 0.8 < z.std() < 1.2
            assert {"region", "depth", "quality", "rate"} <= set(spikes.table.columns)
            assert np.nanmedian(ceiling_bits_per_spike(rates, bins)) > 0.02
        assert recording.valid.duration == pytest.approx(4.0, abs=0.1)
        assert recording["rates"].values.dtype == np.float32


def test_recordings_of_one_animal_share_its_units(studies):
    _, _, full = studies
    first, second = full["animal0_session0"], full["animal0_session1"]
    for stream in ("spikes", "visual_spikes"):
        assert first[stream].table.equals(second[stream].table)
        assert not np.array_equal(first[stream].times, second[stream].times)
    assert set(first["spikes"].table["region"]) >= {"MOs", "VISa", "DG"}


def test_every_animal_in_view_has_neurons_and_a_fano_factor(tmp_path):
    data = simulate(tmp_path, **FILM, individuals=2, neurons=6, fano=2.0)
    recording = data["animal0_session0"]
    assert {"spikes_0", "spikes_1", "rates_0", "rates_1"} < set(recording.streams)
    assert not recording["spikes_0"].table.equals(recording["spikes_1"].table)


def test_the_command_line_knows_them(tmp_path):
    arguments = ["simulate", str(tmp_path / "s"), "--animals", "1", "--duration", "1"]
    arguments += ["--neurons", "5", "--visual-neurons", "3", "--height", "64", "--width", "96"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert Dataset.open(tmp_path / "s")["animal0_session0"]["spikes"].n_units == 5


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("no electrodes")

    monkeypatch.setattr(study_module, "visual_streams", broken)
    with pytest.raises(RuntimeError):
        simulate(tmp_path / "s", **FILM, neurons=3, visual_neurons=3)
    assert list((tmp_path / "s").iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"neurons": -1}, "neurons"),
        ({"visual_neurons": -1}, "visual_neurons"),
        ({"task": True}, "task needs neurons"),
        ({"task": True, "neurons": 2, "individuals": 2}, "single animal"),
        ({"neurons": 2, "fano": 0.5}, "fano"),
    ],
)
def test_what_makes_no_sense_is_refused_before_filming(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        simulate(tmp_path / "s", **FILM, **options)
    assert not (tmp_path / "s").exists()
