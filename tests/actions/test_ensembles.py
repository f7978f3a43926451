import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tinbergen.actions import HMM, FoldEnsemble, LogisticFrames, Mixture, combined, entropy
from tinbergen.errors import ConfigError, DataError

SEEDS = st.integers(0, 2**32 - 1)


def animals(n=5, frames=200, seed=0):
    rng = np.random.default_rng(seed)
    codes = [np.repeat(rng.integers(0, 3, frames // 20), 20) for _ in range(n)]
    return [y[:, None] + rng.normal(size=(frames, 4)) for y in codes], codes


@given(SEEDS, st.sampled_from(["mean", "entropy"]), st.integers(1, 4))
def test_identical_members_say_what_one_says(seed, weighting, members):
    p = np.random.default_rng(seed).dirichlet(np.ones(3), 10)
    p[0] = [1, 0, 0]
    found = combined([p] * members, weighting)
    assert_allclose(found.probabilities, p)
    assert_allclose(found.variance, 0, atol=1e-12)


@given(SEEDS, st.sampled_from(["mean", "entropy"]))
def test_members_together_give_probabilities(seed, weighting):
    rng = np.random.default_rng(seed)
    members = [rng.dirichlet(np.full(3, 0.2), 10) for _ in range(3)]
    members[0][0] = [0, 1, 0]
    found = combined(members, weighting)
    assert_allclose(found.probabilities.sum(axis=1), 1)
    assert np.isfinite(found.probabilities).all()
    assert (found.variance >= 0).all()


def test_the_entropy_of_certainty_is_zero_and_of_ignorance_the_log_of_classes():
    assert_allclose(entropy(np.array([[1.0, 0, 0], [1 / 3] * 3])), [0, np.log(3)])


@pytest.mark.parametrize("member", ["logistic", "tcn"])
def test_each_member_is_asked_about_the_fold_it_has_not_seen(member, tmp_path):
    x, y = animals()
    settings = {"epochs": 3, "width": 8, "length": 100} if member == "tcn" else {}
    model = FoldEnsemble(member=member, settings=settings, folds=3).fit(
        x, y, classes=("a", "b", "c")
    )
    assert sorted(np.bincount(model.folds_)) == [1, 2, 2]
    for i, fold in enumerate(model.folds_):
        assert_array_equal(model.held_out[i], model.members_[fold].predict_proba([x[i]])[0])
    found = model.predict_proba(x)[0]
    assert_allclose(found, np.mean([m.predict_proba(x)[0] for m in model.members_], axis=0))
    model.save(tmp_path)
    again = FoldEnsemble.load(tmp_path)
    assert_array_equal(again.predict_proba(x)[0], found)
    assert again.classes_ == ("a", "b", "c")


def test_members_that_are_finished_are_not_trained_again(tmp_path):
    x, y = animals()
    model = FoldEnsemble(settings={"epochs": 3, "width": 8, "length": 100}, folds=2)
    first = model.fit(x, y, folder=tmp_path).predict_proba(x)[0]
    before = (tmp_path / "0" / "metrics.jsonl").stat().st_mtime_ns
    assert_array_equal(model.fit(x, y, folder=tmp_path, resume=True).predict_proba(x)[0], first)
    assert (tmp_path / "0" / "metrics.jsonl").stat().st_mtime_ns == before


def test_what_cannot_be_an_ensemble_is_refused():
    x, y = animals(2)
    with pytest.raises(DataError, match="two sequences"):
        FoldEnsemble(member="logistic").fit(x[:1], y[:1])
    with pytest.raises(ConfigError, match="settings of 'logistic'.*colour"):
        FoldEnsemble(member="logistic", settings={"colour": 1}).fit(x, y)
    with pytest.raises(ConfigError, match="does not learn from weak labels"):
        FoldEnsemble(member="logistic").fit(x, y, weak=y)
    with pytest.raises(ConfigError, match="expected mean or entropy"):
        combined([np.ones((2, 1))], "median")  # type: ignore[arg-type]


def test_a_mixture_is_the_mean_of_its_kinds_also_in_folds_and_after_saving(tmp_path):
    x, y = animals()
    settings = {"hmm": {"n_states": 3}}
    model = Mixture(kinds=["logistic", "hmm"], settings=settings, random_state=4).fit(x, y)
    alone = [LogisticFrames(random_state=4), HMM(3, random_state=4)]
    each = [member.fit(x, y).predict_proba(x)[0] for member in alone]
    assert_allclose(model.predict_proba(x)[0], np.mean(each, axis=0))
    of_folds = {"kinds": ["logistic", "hmm"], "settings": settings}
    folds = FoldEnsemble(member="mixture", settings=of_folds, folds=2).fit(x, y)
    folds.save(tmp_path)
    again = FoldEnsemble.load(tmp_path)
    assert_array_equal(again.predict_proba(x)[0], folds.predict_proba(x)[0])


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"kinds": ["tcn", "mixture"]}, "none of them a mixture"),
        ({"kinds": "tcn"}, "kinds"),
        ({"kinds": ["tcn", "fly"]}, "no segmenter 'fly'"),
        ({"settings": {"trees": {}}}, "'trees' is none of the kinds"),
        ({"settings": {"mlp": {"taps": 4}}}, "taps: expected an odd number"),
    ],
)
def test_a_mixture_of_what_cannot_be_mixed_is_refused(parameters, text):
    with pytest.raises(ConfigError, match=text):
        Mixture(**parameters).check_parameters()
