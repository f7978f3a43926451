import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from tinbergen.errors import DataError
from tinbergen.metrics import accuracy, balanced_accuracy, class_scores, macro_f1

LABELS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), min_size=1, max_size=40
)


@given(LABELS)
def test_against_scikit_learn(pairs):
    y, p = map(np.array, zip(*pairs, strict=True))
    scores = class_scores(y, p)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes that occur in one of the two only
        assert scores.accuracy == pytest.approx(sk.accuracy_score(y, p))
        assert scores.balanced_accuracy == pytest.approx(sk.balanced_accuracy_score(y, p))
        assert scores.macro_f1 == pytest.approx(sk.f1_score(y, p, average="macro"))
        np.testing.assert_array_equal(scores.confusion, sk.confusion_matrix(y, p))
    assert scores.majority == pytest.approx(np.unique(y, return_counts=True)[1].max() / len(y))
    assert scores.chance == 1 / len(set(y))


def test_accuracy_and_balanced_accuracy_differ():
    y, p = [0, 0, 0, 1], [0, 0, 0, 0]
    assert accuracy(y, p) == 0.75
    assert balanced_accuracy(y, p) == 0.5
    assert macro_f1(y, p) == pytest.approx(3 / 7)


def test_the_majority_is_that_of_the_training_labels():
    assert class_scores([0, 0, 1], [0, 0, 1], train=[1, 1, 0]).majority == pytest.approx(1 / 3)
    assert class_scores([0, 0, 1], [0, 0, 1], train=[5, 5]).majority == 0


@pytest.mark.parametrize(
    ("y", "p", "message"),
    [
        ([0, 1], [0], "one shape"),
        ([], [], "one shape"),
        ([0.0, np.nan], [0.0, 1.0], "1 of 2 true labels"),
        (np.array(["a", "b"], object), np.array(["a", None], object), "1 of 2 predicted labels"),
    ],
)
def test_what_cannot_be_scored_is_refused(y, p, message):
    with pytest.raises(DataError, match=message):
        class_scores(y, p)
