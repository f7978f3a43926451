"""Components of modalities of many channels: their span, their scale, and how they are kept."""

import json

import numpy as np
import pytest
from small import SMALL

from tinbergen.errors import DataError, WeightsError
from tinbergen.population import evaluate
from tinbergen.population.config import population_config
from tinbergen.population.corpus import Corpus
from tinbergen.population.pretraining import load_vocabulary, pretrain
from tinbergen.population.sessions import Session
from tinbergen.population.vocabulary import Vocabulary
from tinbergen.population.wide import WIDEST, channels, components, principal_axes


def test_axes_are_principal_components_of_mean_variance_one():
    rng = np.random.default_rng(0)
    rows = (
        rng.normal(size=(400, 5)) * [9, 5, 3, 2, 1] @ np.linalg.qr(rng.normal(size=(150, 5)))[0].T
    )
    axes = principal_axes([rows[:250], rows[250:]])
    found = components(rows, axes)
    np.testing.assert_allclose((found**2).mean(axis=0).mean(), 1, rtol=0.02)
    values = np.linalg.eigvalsh(rows.T @ rows)[::-1][:5]
    variance = (found**2).sum(axis=0)[:5]
    np.testing.assert_allclose(variance / variance[0], values / values[0], rtol=1e-3)
    np.testing.assert_allclose(channels(found[:, :5], axes[:, :5]), rows, atol=1e-3)


def test_a_run_keeps_the_axes_of_its_training_windows(tmp_path):
    rng = np.random.default_rng(1)

    def session(name):
        video = (rng.normal(size=(15, 8, 4)) @ rng.normal(size=(4, 200))).astype(np.float32)
        counts = rng.poisson(1.0, (15, 8, 6))
        return Session.of_arrays(name, counts, values={"video": video})

    sessions = [session("a"), session("b")]
    settings = {
        **SMALL, "modalities": {"video": {}},
        "train": {**SMALL["train"], "steps": 1, "validate_every": 1},
    }  # fmt: skip
    run = pretrain(sessions, tmp_path / "run", overrides=settings)
    loaded = load_vocabulary(run)
    assert loaded.widths["video"] == len(loaded.axes["video"].T) <= WIDEST
    assert "axes" not in str(json.loads((run.path / "vocabulary.json").read_text())["widths"])
    # What lies outside of the training windows changes nothing.
    train = {s.name: np.arange(9) for s in sessions}
    sessions[1].values["video"][9:] += 100
    config = population_config(overrides=settings)
    again = Vocabulary.of(sessions, train, config.modalities)
    np.testing.assert_array_equal(again.axes["video"], loaded.axes["video"])
    batch = Corpus(sessions, loaded, config).batch(np.arange(3))
    first = sessions[0].values["video"][:3]
    known = loaded.sessions[0]
    expected = (first - np.array(known.mean["video"])) / np.array(known.scale["video"])
    np.testing.assert_allclose(
        batch.values["video"], expected @ loaded.axes["video"], rtol=1e-3, atol=1e-4
    )


def wide_session(name, seed, known=slice(None)):
    rng = np.random.default_rng(seed)
    video = np.full((40, 8, 200), np.nan, np.float32)
    video[known] = (rng.normal(size=(40, 8, 4)) @ rng.normal(size=(4, 200)))[known]
    return Session.of_arrays(name, rng.poisson(1.0, (40, 8, 6)), values={"video": video})


WIDE = {
    **SMALL, "modalities": {"video": {}},
    "train": {**SMALL["train"], "steps": 1, "validate_every": 1},
}  # fmt: skip


def test_damaged_axes_are_told(tmp_path):
    run = pretrain([wide_session("a", 2)], tmp_path / "run", overrides=WIDE)
    path = run.path / "axes.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="axes.safetensors is not a whole"):
        load_vocabulary(run)


def test_channels_that_are_never_known_together():
    session = wide_session("a", 3)
    session.values["video"][:, :, 7] = np.nan
    modalities = population_config(overrides=WIDE).modalities
    with pytest.raises(DataError, match="video: of its 200 channels.*Leave out channels"):
        Vocabulary.of([session], {"a": np.arange(20)}, modalities)


def test_a_session_whose_video_begins_after_training(tmp_path):
    sessions = [wide_session("a", 4), wide_session("b", 5, slice(32, None))]
    run = pretrain(sessions, tmp_path / "run", overrides=WIDE)
    assert "video" not in load_vocabulary(run).sessions[1].mean
    found = evaluate(run, sessions, tasks=["co_smoothing", "encoding"])
    asked = {name: set(rows["task"]) for name, rows in found.scores.groupby("recording")}
    assert asked == {"a": {"co_smoothing", "encoding"}, "b": {"co_smoothing"}}
