import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tinbergen.actions import HMM, Scaler, Segmenter, segmenter_class
from tinbergen.errors import ConfigError, DataError, NotFittedError


class Prior(Segmenter):
    """Says of each frame how frequent the classes were."""

    def _fit(self, features, codes, validation):
        y = np.concatenate(codes)
        self.shares_ = np.bincount(y[y >= 0], minlength=len(self.classes_)) + 1.0
        self.shares_ /= self.shares_.sum()

    def _probabilities(self, features):
        return [np.tile(self.shares_, (len(x), 1)) for x in features]


X = [np.zeros((4, 2)), np.zeros((3, 2))]
Y = [np.array([0, 0, 2, -1]), np.array([0, 2, 2])]


def test_f1_is_that_of_the_labelled_frames():
    true = np.array([0, 1, 1, 1, 2, 2, 2, 2, 3, 3, 0, 1]) - 1
    found = np.array([2, 1, 1, 2, 2, 2, 1, 2, 3, 1, 3, 1]) - 1
    model = Prior().fit(X, Y)
    model.predict = lambda features: [found]  # type: ignore[method-assign]
    assert model.score([np.zeros((12, 2))], [true]) == pytest.approx(0.694444, abs=1e-6)


def test_classes_without_a_frame_are_named_and_never_predicted():
    model = Prior().fit(X, Y, classes=("rest", "groom", "run"))
    assert model.absent_ == ("groom",)
    found = model.predict_proba(X)
    assert_array_equal([each[:, 1].max() for each in found], [0, 0])
    for each in found:
        assert_allclose(each.sum(axis=1), 1)


def test_hidden_states_never_stand_for_a_class_without_a_frame():
    rng = np.random.default_rng(0)
    codes = np.repeat([1, 2, -1], 50)
    x = codes[:, None] * 9.0 + rng.normal(size=(150, 1))
    model = HMM(2, labels="one to one").fit([x], [codes], classes=("sleep", "rest", "run"))
    assert model.absent_ == ("sleep",)
    found = model.predict_proba([x, np.full((1, 1), 1e3)])
    assert [each[:, 0].max() for each in found] == [0, 0]
    assert_allclose(found[1].sum(axis=1), 1)


def test_the_score_names_a_class_that_the_model_does_not_know():
    model = Prior().fit(X, Y)
    with pytest.raises(DataError, match="sequence 1, frame 0 has code 3; .* the 3 classes"):
        model.score(X, [Y[0], Y[1] + 3])


def test_the_score_leaves_out_unlabelled_frames():
    model = Prior().fit(X, Y)
    assert model.classes_ == ("0", "1", "2")
    assert model.predict([np.zeros((2, 2))])[0].tolist() == [0, 0]
    assert model.score([X[0]], [np.array([0, 0, -1, -1])]) == 1


@pytest.mark.parametrize(
    ("x", "y", "text"),
    [
        (X, [Y[0], Y[1][:2]], r"Sequence 1: 3 frames of features, but codes .* \(2,\)"),
        (X, [Y[0]], "2 sequences of features, but 1 of codes"),
        ([X[0], np.zeros((3, 5))], Y, "sequence 1 has 5 channels, expected 2"),
        (X[0], Y[:1], r"put it into a list"),
        ([np.full((4, 2), np.inf)], Y[:1], "infinities"),
        (X, [np.full(4, -1), np.full(3, -1)], "No frame of any training sequence is labelled"),
        (X, [Y[0] + 7, Y[1]], "code 7; expected -1 or one of the 3 classes"),
        (X, [Y[0].astype(float), Y[1]], "one whole number a frame"),
        ([], [], "at least one training sequence"),
    ],
)
def test_sequences_that_do_not_fit_are_refused(x, y, text):
    with pytest.raises(DataError, match=text):
        Prior().fit(x, y, classes=("rest", "groom", "run"))


def test_a_model_asks_to_be_fitted_first_and_for_the_same_channels():
    with pytest.raises(NotFittedError):
        Prior().predict(X)
    with pytest.raises(DataError, match="5 channels, expected 2"):
        Prior().fit(X, Y).predict([np.zeros((3, 5))])


def test_unknown_segmenters_are_answered_with_a_suggestion():
    with pytest.raises(ConfigError, match="did you mean 'forest'"):
        segmenter_class("forrest")


class TestScaler:
    def test_training_moments_are_kept_and_constant_channels_become_zero(self):
        rng = np.random.default_rng(0)
        x = [rng.normal(3, 2, (50, 2)), rng.normal(3, 2, (70, 2))]
        for each in x:
            each[:, 1] = 1e6
        scaler = Scaler().fit(x)
        scaled = np.concatenate(scaler.transform(x))
        assert_allclose(scaled[:, 0].mean(), 0, atol=1e-5)
        assert_allclose(scaled[:, 0].std(), 1, atol=1e-5)
        assert_array_equal(scaled[:, 1], 0)

    def test_unknown_values_are_the_mean_and_change_no_other_session(self):
        rng = np.random.default_rng(0)
        x = [rng.normal(size=(50, 2)), rng.normal(size=(70, 2))]
        broken = [x[0].copy(), x[1]]
        scaler = Scaler().fit(x)
        broken[0][5:30] = np.nan
        found = scaler.transform(broken)
        assert_array_equal(found[0][5:30], 0)
        assert_array_equal(found[1], scaler.transform(x)[1])

    def test_sessions_can_be_scaled_by_themselves(self):
        x = [np.arange(10.0)[:, None], 100 + 5 * np.arange(10.0)[:, None]]
        one, other = Scaler("session").fit(x).transform(x)
        assert_allclose(one, other, atol=1e-5)
