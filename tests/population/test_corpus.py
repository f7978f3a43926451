"""Windows, vocabularies and batches: nothing is lost, nothing is made up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import SMALL, make_config, make_corpus, make_session

from tinbergen.errors import DataError
from tinbergen.population.config import population_config
from tinbergen.population.corpus import recent_rates, split_windows
from tinbergen.population.sessions import Session
from tinbergen.population.vocabulary import Vocabulary


@given(
    st.lists(st.integers(1, 200), min_size=1, max_size=5),
    st.lists(st.integers(0, 10_000), min_size=1, max_size=12),
)
@settings(deadline=None, max_examples=40)
def test_a_batch_holds_the_counts_of_its_windows(units, picks):
    sessions = [make_session(f"s{i}", n, windows=4, seed=i) for i, n in enumerate(units)]
    corpus = make_corpus(sessions, make_config())
    windows = np.array(picks) % len(corpus)
    batch = corpus.batch(windows)
    assert batch.present.sum() == sum(units[corpus.session[w]] for w in windows)
    for i, window in enumerate(windows):
        session = sessions[corpus.session[window]]
        expected = session.counts[window - corpus.rows(session.name)[0]]
        slots = np.flatnonzero((batch.sample == i) & batch.present.any(axis=1))
        rows = batch.block[slots // batch.per_row]
        slots = slots[np.argsort(rows)]
        np.testing.assert_array_equal(
            np.concatenate([batch.counts[s][:, batch.present[s]] for s in slots], axis=1), expected
        )
    assert not batch.counts[~np.broadcast_to(batch.present[:, None], batch.counts.shape)].any()


def test_work_is_linear_in_the_units_that_are_there():
    small = [make_session(f"s{i}", 60, windows=8) for i in range(8)]
    large = make_session("big", 1200, windows=8)
    corpus = make_corpus([*small, large], make_config())
    batch = corpus.batch(np.arange(0, len(corpus), 8))  # one window of each
    assert len(batch.block) == 8 + 19 and batch.per_row == 1


def test_values_are_normalised_by_training_windows_and_missing_ones_are_not_there():
    session = make_session("a", 30)
    train = np.arange(2, 8)
    corpus = make_corpus([session], make_config(), {"a": train})
    batch = corpus.batch(np.arange(len(corpus)))
    wheel = batch.values["wheel"][train]
    np.testing.assert_allclose([wheel.mean(), wheel.std()], [0, 1], atol=1e-5)
    assert not batch.there["wheel"][0, 2] and batch.values["wheel"][0, 2] == 0
    assert batch.there["wheel"].sum() == batch.there["wheel"].size - 1
    assert batch.there["choice"].tolist() == [v is not None for v in session.values["choice"]]
    assert corpus.vocabulary.classes["choice"] == ("left", "right")


def test_a_modality_that_a_session_lacks_is_missing_there_alone():
    with_it, without = make_session("a", 20), make_session("b", 20)
    values = {k: v for k, v in without.values.items() if k not in ("pose", "choice")}
    without = Session.of_arrays("b", without.counts, values=values)
    corpus = make_corpus([with_it, without], make_config())
    batch = corpus.batch(np.arange(len(corpus)))
    there = batch.there["pose"].all(axis=1)
    assert there[:12].all() and not there[12:].any()
    assert not batch.there["choice"][12:].any()


def test_recent_rates_look_back_alone():
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.4, (30, 5, 3))
    rates = np.array([0.4, 0.4, 0.4])
    before = recent_rates(counts, rates, 5.0)
    assert not before[0].any()
    changed = counts.copy()
    changed[20:] += 7
    np.testing.assert_array_equal(recent_rates(changed, rates, 5.0)[:21], before[:21])
    assert (recent_rates(changed, rates, 5.0)[25] > before[25]).all()


def test_recent_rates_find_a_lasting_change():
    counts = np.random.default_rng(1).poisson(0.8, (400, 20, 50))
    found = recent_rates(counts, np.full(50, 0.4), 20.0)[-1]
    assert abs(found.mean() - np.log(2)) < 0.1


def test_splits_are_blocks_of_time():
    sessions = [make_session("a", 5, windows=50), make_session("b", 5, windows=11)]
    parts = split_windows(sessions)
    for session in sessions:
        rows = [parts[p][session.name] for p in ("train", "validation", "test")]
        np.testing.assert_array_equal(np.concatenate(rows), np.arange(len(session)))


def test_vocabularies_come_back_from_json():
    import json

    corpus = make_corpus([make_session("a", 20), make_session("b", 70)], make_config())
    text = json.dumps(corpus.vocabulary.to_dict())
    assert Vocabulary.from_dict(json.loads(text)) == corpus.vocabulary


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"counts": np.full((3, 4, 2), -1)}, "negative"),
        ({"counts": np.full((3, 4, 2), 0.5)}, "counts"),
        ({"counts": np.zeros((3, 4))}, "window, time, unit"),
        ({"counts": np.zeros((0, 4, 2))}, "no count"),
        ({"counts": np.full((3, 4, 2), 70_000)}, "narrower"),
        ({"regions": ["a"]}, "regions"),
        ({"values": {"wheel": np.zeros((2, 4, 1))}}, "wheel"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, message):
    settings = {"counts": np.ones((3, 4, 2))} | change
    with pytest.raises(DataError, match=message):
        Session.of_arrays("x", settings.pop("counts"), **settings)


def test_a_class_that_the_model_does_not_have_is_refused():
    """It would count as not known, and be left out of scores without a word."""
    session = make_session("a", 20)
    choice = session.values["choice"].copy()
    choice[-1] = "middle"
    odd = Session.of_arrays("b", session.counts, values={**session.values, "choice": choice})
    known = make_corpus([session], make_config())
    with pytest.raises(DataError, match="'b', choice: .*left, right, found middle"):
        known.vocabulary.extended([odd], {"b": np.arange(8)}, known.config.modalities)
    # To a model that is made with it, it is a class like any other, in training or not.
    made = make_corpus([odd], make_config(), {"b": np.arange(8)})
    assert made.vocabulary.classes["choice"] == ("left", "middle", "right")


def test_counts_of_two_bytes_reach_the_network():
    counts = np.full((4, 10, 3), 300)
    corpus = make_corpus([Session.of_arrays("a", counts)], population_config(overrides=SMALL))
    assert corpus.batch(np.arange(2)).counts.max() == 300
    assert corpus.batch(np.arange(2)).counts.dtype == np.int32


def test_large_counts_take_two_bytes():
    assert Session.of_arrays("x", np.full((2, 2, 2), 255)).counts.dtype == np.uint8
    assert Session.of_arrays("x", np.full((2, 2, 2), 256)).counts.dtype == np.uint16


def test_other_sessions_are_refused_by_name():
    corpus = make_corpus([make_session("a", 20)], make_config())
    with pytest.raises(DataError, match="'b'"):
        corpus.vocabulary.number("b")
    shorter = make_session("b", 20, bins=4)
    with pytest.raises(DataError, match="10 bins"):
        corpus.vocabulary.extended([shorter], {"b": np.arange(3)}, corpus.config.modalities)
