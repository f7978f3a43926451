import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from tinbergen.actions import BoostedTrees, LogisticFrames, RandomForest
from tinbergen.actions.forest import Forest
from tinbergen.recordings.lags import lagged, window_lags

QUICK = {BoostedTrees: {"rounds": 8}, RandomForest: {"trees": 20}, LogisticFrames: {}}


def animals(classes=3, n=3, frames=400, seed=0):
    rng = np.random.default_rng(seed)
    codes = [np.repeat(rng.integers(0, classes, frames // 20), 20) for _ in range(n)]
    return [y[:, None] + rng.normal(size=(frames, 4)) for y in codes], codes


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("kind", QUICK)
def test_every_classifier_learns_saves_and_comes_back(kind, classes, tmp_path):
    x, y = animals(classes)
    model = kind(every=1, reach=10, **QUICK[kind]).fit(x[:2], y[:2])
    assert model.score(x[2:], y[2:]) > 0.8
    found = model.predict_proba(x)
    assert_allclose(np.concatenate(found).sum(axis=1), 1, atol=1e-6)
    model.save(tmp_path)
    assert_array_equal(kind.load(tmp_path).predict_proba(x)[2], found[2])


def test_a_class_of_few_frames_is_learned_of():
    x, y = animals(2)
    y[0][:] = 0
    y[1][:], y[1][203:206] = 0, 1
    model = LogisticFrames(every=5).fit(x[:2], y[:2])
    assert model.seen_.tolist() == [0, 1]


@pytest.mark.parametrize("classes", [2, 3])
def test_trees_as_arrays_predict_as_scikit_learn_does(classes):
    x, y = animals(classes)
    x, y = np.concatenate(x).astype(np.float32), np.concatenate(y)
    forest = RandomForestClassifier(15, random_state=0).fit(x, y)
    found = Forest.of_random_forest(forest).sums(x) / 15
    assert_allclose(found, forest.predict_proba(x), atol=1e-6)
    boosted = HistGradientBoostingClassifier(
        max_iter=15,
        early_stopping=False,  # type: ignore[arg-type]
    ).fit(x, y)
    logits = Forest.of_boosting(boosted).sums(x) + boosted._baseline_prediction.ravel()
    expected = boosted.decision_function(x)
    assert_allclose(logits, expected.reshape(len(x), -1), atol=1e-5)


def test_the_linear_baseline_is_that_of_scikit_learn():
    x, y = animals()
    model = LogisticFrames(every=1, lags=0, penalty=0.1).fit(x, y)
    z = np.concatenate(model.scaler_.transform(x))
    expected = LogisticRegression(C=0.1, max_iter=300, class_weight="balanced").fit(
        z, np.concatenate(y)
    )
    assert_allclose(np.concatenate(model.predict_proba(x)), expected.predict_proba(z), atol=1e-6)


def test_lags_never_reach_into_another_recording():
    x, y = animals()
    model = BoostedTrees(every=1, reach=30, rounds=5).fit(x, y)
    alone = model.predict_proba(x[1:2])[0]
    others = [np.full_like(x[0], 1e3), x[1], np.full_like(x[2], -1e3)]
    assert_array_equal(model.predict_proba(others)[1], alone)
    assert_array_equal(lagged(x[0], (-500, 500))[7], np.concatenate([x[0][0], x[0][-1]]))


def test_classes_that_do_not_occur_get_no_probability():
    x, y = animals(2)
    y = [np.where(each == 1, 2, each) for each in y]
    model = RandomForest(trees=5).fit(x, y, classes=("a", "b", "c"))
    assert np.concatenate(model.predict_proba(x))[:, 1].max() == 0
    only = BoostedTrees().fit(x, [np.zeros_like(each) for each in y], classes=("a", "b"))
    assert_array_equal(only.predict_proba(x)[0], [[1, 0]] * 400)


@pytest.mark.parametrize(("reach", "number"), [(60, 5), (4, 4), (3, 9), (0, 5), (10, 0)])
def test_lags_are_symmetric_and_within_reach(reach, number):
    lags = window_lags(reach, number)
    assert list(lags) == sorted(set(lags))
    assert list(lags) == [-lag for lag in lags[::-1]]
    assert 0 in lags
    assert max(lags) <= reach
    assert len(lags) <= 2 * number + 1
