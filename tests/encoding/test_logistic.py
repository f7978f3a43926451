import numpy as np
import pytest
from lagged_oracle import lag_matrix, standardised
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression

from tinbergen.encoding import Logistic
from tinbergen.errors import DataError


def labelled(n=200, width=5, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(1, 2, size=(n, width))
    scores = x @ rng.normal(size=(width, classes)) / 3 + rng.gumbel(size=(n, classes))
    return x, np.array(["left", "none", "right", "up"])[scores.argmax(axis=1)]


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize(("n", "width"), [(200, 5), (60, 150)])
def test_equals_scikit_learn(classes, balanced, n, width):
    x, y = labelled(n, width, classes)
    model = Logistic((2.0,), balanced=balanced, tolerance=1e-8).fit(x, y)
    weight = "balanced" if balanced else None
    oracle = LogisticRegression(C=1 / 2, tol=1e-9, max_iter=10_000, class_weight=weight)
    oracle.fit(standardised(x), y)
    assert_array_equal(model.classes_, oracle.classes_)
    assert_allclose(model.predict_proba(x), oracle.predict_proba(standardised(x)), atol=1e-5)
    assert_array_equal(model.predict(x), oracle.predict(standardised(x)))


def test_lags():
    x, y = labelled(classes=2)
    segments = np.repeat([0, 1], 100)
    model = Logistic((2.0,), lags=(0, 2), tolerance=1e-8).fit(x, y, segments=segments)
    z = lag_matrix(standardised(x), segments, (0, 2))
    oracle = LogisticRegression(C=1 / 2, tol=1e-9, max_iter=10_000).fit(z, y)
    probabilities = model.predict_proba(x, segments=segments)
    assert_allclose(probabilities, oracle.predict_proba(z), atol=1e-5)


def test_penalty_is_chosen_on_held_out_rows():
    x, y = labelled(n=100, width=60)
    held = np.arange(100) % 3 == 0
    alphas = (0.1, 10.0, 1000.0)
    model = Logistic(alphas).fit(x, y, validate=held)
    share = np.mean([[label == c for c in model.classes_] for label in y[~held]], axis=0)
    number = np.searchsorted(model.classes_, y[held])
    gains = []
    for alpha in alphas:
        p = Logistic((alpha,)).fit(x[~held], y[~held]).predict_proba(x[held])
        gains.append(np.log2(p[np.arange(len(p)), number] / share[number]).mean())
    assert model.alpha_ == alphas[int(np.argmax(gains))]
    assert_allclose(model.validation_score_, max(gains), atol=1e-3)
    one = Logistic((model.alpha_,)).fit(x, y)
    assert_allclose(model.predict_proba(x), one.predict_proba(x), atol=1e-4)


def test_balanced_hears_the_rare_class():
    rng = np.random.default_rng(0)
    y = (rng.random(600) < 0.08).astype(int)
    x = y[:, None] + rng.normal(size=(600, 1))
    plain, balanced = Logistic().fit(x, y), Logistic(balanced=True).fit(x, y)
    assert (plain.predict(x) == 1)[y == 1].mean() < 0.4
    assert (balanced.predict(x) == 1)[y == 1].mean() > 0.6
    assert balanced.validation_score_ > 0.05


@pytest.mark.parametrize("kind", [int, float, bool, str, object])
def test_labels_of_any_kind(kind):
    x, y = labelled(classes=2)
    labels = (y == "left").astype(kind)
    predicted = Logistic((1.0,)).fit(x, labels).predict(x)
    assert_array_equal(
        predicted == np.unique(labels)[1],
        Logistic((1.0,)).fit(x, labels.astype(str) == str(np.unique(labels)[1])).predict(x),
    )


def test_rows_without_label_or_features():
    x, y = labelled()
    mixed = y.astype(object)
    mixed[3], mixed[4], mixed[5] = None, np.nan, ""
    x[6, 0] = np.nan
    model = Logistic((1.0,)).fit(x, mixed)
    assert model.n_left_out_ == 4
    assert "" not in model.classes_
    assert model.predict(x)[6] == "" and np.isnan(model.predict_proba(x)[6]).all()
    numbers = Logistic((1.0,)).fit(x, (y == "left").astype(int)).predict(x)
    assert np.isnan(numbers[6]) and set(numbers[7:]) == {0, 1}


def test_trials():
    x, y = labelled()
    model = Logistic((1.0,)).fit(x.reshape(10, 20, 5), y.reshape(10, 20))
    assert model.predict(x.reshape(10, 20, 5)).shape == (10, 20)
    assert model.predict_proba(x.reshape(10, 20, 5)).shape == (10, 20, 3)


def test_save_and_load_bit_for_bit(tmp_path):
    x, y = labelled()
    model = Logistic().fit(x, y)
    model.save(tmp_path)
    back = Logistic.load(tmp_path)
    assert_array_equal(back.classes_, model.classes_)
    assert_array_equal(back.predict_proba(x), model.predict_proba(x))
    assert back.parameters == model.parameters


def test_refusals():
    x, y = labelled()
    with pytest.raises(DataError, match="at least two classes"):
        Logistic().fit(x, np.full(200, "left"))
    with pytest.raises(DataError, match="two common classes"):
        Logistic().fit(x, y, validate=y != "left")
    with pytest.raises(DataError, match="both text and numbers"):
        Logistic().fit(x, np.where(y == "left", 1, y.astype(object)))
    with pytest.raises(DataError, match="one label at each time, found 2"):
        Logistic().fit(x, np.stack([y, y], axis=1))
