"""Probes of units: regions that vectors hold are found, and none where there is nothing."""

from typing import Any

import numpy as np
import pytest
from small import make_config, make_corpus, make_model, make_session

from tinbergen.errors import ConfigError
from tinbergen.population.unit_probe import (
    firing_statistics,
    region_probe,
    unit_loadings,
    unit_vectors,
)

REGIONS = np.tile(np.repeat(["CA1", "LP", "VISp"], 20), 2).astype(object)
RECORDINGS = np.repeat(["a", "b"], 60)


def test_regions_that_vectors_hold_are_found_within_and_across():
    rng = np.random.default_rng(0)
    number = np.unique(REGIONS.astype(str), return_inverse=True)[1]
    x = 3 * np.eye(3)[number] + 0.5 * rng.normal(size=(120, 3))
    found: Any = region_probe(x, REGIONS, RECORDINGS)
    assert found[["split", "recording"]].to_numpy().tolist() == [
        ["within", "a"], ["within", "b"], ["across", "a"], ["across", "b"],
    ]  # fmt: skip
    assert (found["value"] > 0.95).all()
    assert found["chance"].tolist() == [1 / 3] * 4
    assert found["majority"].tolist() == pytest.approx([1 / 3] * 4)
    assert (found["shuffled"] < 0.5).all()
    assert (found["n"] == 60).all()


def test_vectors_of_one_recording_only_do_not_carry_over():
    rng = np.random.default_rng(0)
    number = np.unique(REGIONS.astype(str), return_inverse=True)[1]
    number[60:] = (number[60:] + 1) % 3  # other directions in the second recording
    x = 3 * np.eye(3)[number] + 0.5 * rng.normal(size=(120, 3))
    found: Any = region_probe(x, REGIONS, RECORDINGS).groupby("split")["value"].mean()
    assert found["within"] > 0.95
    assert found["across"] < 0.05


def test_noise_holds_no_region():
    x = np.random.default_rng(0).normal(size=(120, 5))
    found: Any = region_probe(x, REGIONS, RECORDINGS)
    assert (np.abs(found["value"] - 1 / 3) < 0.2).all()


def test_units_without_a_region_and_small_regions_are_left_out():
    regions = REGIONS.copy()
    regions[:20], regions[20:36] = "unknown", "XX"  # leaves 4 of LP
    x = np.random.default_rng(0).normal(size=(120, 3))
    found: Any = region_probe(x, regions, RECORDINGS)
    own = found[(found["split"] == "within") & (found["recording"] == "a")]
    assert own["n"].item() == 36
    assert own["chance"].item() == 1 / 2
    assert not len(region_probe(x, np.full(120, "unknown", dtype=object), RECORDINGS))


def test_firing_statistics_of_known_trains():
    counts = np.zeros((40, 20, 2), int)
    counts[..., 0] = 2  # always alike: Fano factor 0
    counts[::2, :, 1] = 4  # all or nothing, window by window
    found = firing_statistics(counts)
    assert found[0, 0] == pytest.approx(np.log(2.001))
    assert found[0, 1] == pytest.approx(np.log(0.01))
    assert found[1, 1] == pytest.approx(np.log(40 + 0.01))  # variance 1600 / mean 40
    np.testing.assert_allclose(found[1, 2:7], 1.0)  # a window is alike throughout
    np.testing.assert_allclose(found[:, 7:], 1.0)  # flat


def test_unit_vectors_are_rows_of_the_tables():
    corpus = make_corpus([make_session("a1", 21), make_session("b1", 70)], make_config())
    model = make_model(corpus)
    vectors = unit_vectors(model, corpus.vocabulary, "b1")
    assert vectors.shape == (70, 32)
    np.testing.assert_array_equal(vectors[65, :16], model.tables.unit_in[2, 1].detach().numpy())
    np.testing.assert_array_equal(vectors[3, 16:], model.tables.unit_out[1, 3].detach().numpy())


def test_loadings_are_those_of_the_factors():
    sessions = [make_session("a1", 21), make_session("b1", 70)]
    corpus = make_corpus(sessions, make_config())
    model = make_model(corpus)
    assert model.linear is not None
    loadings = unit_loadings(model, corpus.vocabulary, "b1")
    assert loadings.shape == (70, 4)
    np.testing.assert_array_equal(loadings[65], model.linear.linear_in[2, 1].numpy())
    bare = make_corpus(sessions, make_config(units={"linear_rank": 0}))
    assert unit_loadings(make_model(bare), bare.vocabulary, "b1").shape == (70, 0)


def test_stitches_have_no_vectors():
    corpus = make_corpus([make_session("a1", 21)], make_config(units={"read": "stitch"}))
    with pytest.raises(ConfigError, match=r"units\.read: table"):
        unit_vectors(make_model(corpus), corpus.vocabulary, "a1")
