"""The classical models: they know training windows alone, and what they are given alone."""

import numpy as np
import pytest
from small import make_session

from tinbergen.population.baselines import Baselines
from tinbergen.population.questions import Question
from tinbergen.population.sessions import Session
from tinbergen.population.vocabulary import class_numbers

CO = Question("co_smoothing", "spikes", ("spikes",))


def world(seed=0, windows=80, bins=10, units=18):
    """Units of two regions that share a latent; a wheel that is it, a choice by its mean."""
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(windows, 1, 1)) + 0.3 * rng.normal(size=(windows, bins, 1))
    counts = rng.poisson(np.exp(0.7 * latent * rng.choice([-1, 1], units)))
    choice = np.where(latent.mean(axis=(1, 2)) > 0, "right", "left").astype(object)
    values = {"wheel": latent, "choice": choice}
    return Session.of_arrays(
        "a", counts, regions=np.repeat(["CA1", "LP"], units // 2), values=values
    )


def baselines(session):
    classes = {"choice": class_numbers(session.values["choice"], ("left", "right"))}
    n = len(session)
    train, choose = np.arange(0, n // 2), np.arange(n // 2, 3 * n // 4)
    test = np.arange(3 * n // 4, n)
    rates = session.counts[train].mean(axis=(0, 1))
    return Baselines(session, train, choose, test, classes, rates)


def bits(counts, rates, null):
    gain = counts * np.log(rates / null) - (rates - null)
    return gain.sum() / counts.sum() / np.log(2)


@pytest.mark.parametrize("task", ["co_smoothing", "intra_region", "inter_region"])
def test_ridge_finds_a_shared_latent(task):
    session = world()
    models = baselines(session)
    answers = models.spikes(Question(task, "spikes", ("spikes",)), 1)
    counts = session.counts[models.test]
    assert set(answers) == {"mean rate", "PSTH", "ridge"}
    assert bits(counts, answers["mean rate"], models.rates) == 0.0
    assert bits(counts, answers["ridge"], models.rates) > 0.2


def test_a_unit_never_sees_itself():
    session = world()
    before = baselines(session).spikes(CO, 1)["ridge"]
    changed = session.counts.copy()
    changed[60:, :, 3] += 5
    other = Session.of_arrays("a", changed, regions=session.regions, values=session.values)
    after = baselines(other).spikes(CO, 1)["ridge"]
    np.testing.assert_allclose(after[..., 3], before[..., 3], rtol=1e-9)
    assert not np.allclose(after[..., 4], before[..., 4])


def test_forward_answers_for_the_last_bins():
    session = world()
    answers = baselines(session).spikes(Question("forward", "spikes", ("spikes",)), 2)
    assert {rates.shape for rates in answers.values()} == {(20, 2, 18)}


def test_encoding_from_behaviour_beats_the_mean():
    session = world()
    models = baselines(session)
    answers = models.spikes(Question("encoding", "spikes", ("wheel", "choice")), 1)
    counts = session.counts[models.test]
    for name in ("ridge", "reduced rank", "conditional PSTH"):
        assert bits(counts, answers[name], models.rates) > 0.1, name


@pytest.mark.parametrize("given", [("spikes",), ("wheel",)])
def test_classes_are_told(given):
    session = world()
    models = baselines(session)
    answers = models.behaviour(Question("decoding", "choice", given))
    truth = models.classes["choice"][models.test]
    assert (answers["logistic"] == truth).mean() > 0.9
    assert len(np.unique(answers["majority"])) == 1


def test_values_are_told_and_states_are_probed():
    session = world()
    models = baselines(session)
    answers = models.behaviour(
        Question("decoding", "wheel", ("spikes",)), session.values["wheel"] * [1.0, 0.5]
    )
    truth = session.values["wheel"][models.test]
    assert np.corrcoef(answers["ridge"].ravel(), truth.ravel())[0, 1] > 0.8
    np.testing.assert_allclose(answers["probe of states"], truth, atol=0.05)


def test_what_the_test_windows_hold_changes_no_weights():
    session = world()
    question = Question("decoding", "wheel", ("spikes",))
    before = baselines(session).behaviour(question)["ridge"]
    values = dict(
        session.values,
        wheel=np.where(np.arange(80)[:, None, None] < 60, session.values["wheel"], 99.0),
    )
    other = Session.of_arrays("a", session.counts, regions=session.regions, values=values)
    np.testing.assert_array_equal(baselines(other).behaviour(question)["ridge"], before)


def test_one_class_in_training_leaves_no_answer():
    session = world()
    choice = session.values["choice"].copy()
    choice[:60] = "left"
    other = Session.of_arrays("a", session.counts, values=dict(session.values, choice=choice))
    answers = baselines(other).behaviour(Question("decoding", "choice", ("spikes",)))
    assert np.isnan(answers["logistic"]).all()


def test_gaps_in_behaviour_are_filled_by_the_training_mean():
    session = make_session("a1", 21, windows=20)
    values = {name: session.values[name] for name in ("wheel", "choice")}
    other = Session.of_arrays("a", session.counts, regions=session.regions, values=values)
    dense = baselines(other)._by_bin(("wheel", "choice"))
    assert np.isfinite(dense).all()
    assert dense[3, :, 1:].sum() == 0  # a choice that is not known is no class
    known = values["wheel"][:10][np.isfinite(values["wheel"][:10])]
    assert dense[0, 2, 0] == pytest.approx(known.mean())


@pytest.mark.parametrize("question", [CO, Question("encoding", "spikes", ("wheel", "choice"))])
def test_rates_are_matched_to_the_validation_windows(question):
    """A unit that fires thrice as much after training does so in every answer but the null."""
    session = world()
    counts = session.counts.copy()
    counts[40:, :, 2] *= 3
    session = Session.of_arrays("a", counts, regions=session.regions, values=session.values)
    models = baselines(session)
    answers = models.spikes(question, 1)
    expected = counts[models.test][..., 2].mean()
    for name, rates in answers.items():
        found = rates[..., 2].mean() / expected
        assert (0.75 < found < 1.3) == (name != "mean rate"), name
