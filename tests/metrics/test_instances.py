"""Object keypoint similarity and mean average precision against hand examples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq

from tinbergen.errors import DataError
from tinbergen.metrics import average_precision, mean_average_precision, oks
from tinbergen.metrics.instances import THRESHOLDS, box_area, similarities

AREA = 1e4


def similarity(distance, sigma):
    return float(oks([[distance, 0.0]], [[0.0, 0.0]], sigma, area=AREA))


class TestOks:
    @pytest.mark.parametrize(
        ("sigma", "distance", "expected"),
        [
            (0.1, 10, 0.882497), (0.1, 20, 0.606531), (0.1, 40, 0.135335),
            (0.025, 5, 0.606531), (0.025, 10, 0.135335), (0.025, 20, 3.35e-4),
        ],
    )  # fmt: skip
    def test_by_hand(self, sigma, distance, expected):
        assert similarity(distance, sigma) == pytest.approx(expected, abs=1e-6)

    def test_the_mean_over_keypoints(self):
        off = np.array([[0, 0], [10, 0], [20, 0], [40, 0]], dtype=float)
        assert float(oks(off, np.zeros((4, 2)), 0.1, AREA)) == pytest.approx(0.656091, abs=1e-6)

    @pytest.mark.parametrize(("sigma", "expected"), [(0.1, 23.548), (0.025, 5.887)])
    def test_where_it_is_one_half(self, sigma, expected):
        closed = 2 * sigma * np.sqrt(2 * AREA * np.log(2))
        assert closed == pytest.approx(expected, abs=1e-3)
        assert brentq(lambda d: similarity(d, sigma) - 0.5, 0, 100) == pytest.approx(closed)

    def test_labels_decide_what_counts(self):
        true = np.array([[0.0, 0], [10, 10], [np.nan, np.nan]])
        guess = np.array([[0.0, 0], [np.nan, np.nan], [5, 5]])
        assert float(oks(guess, true, 0.1)) == 0.5
        assert np.isnan(oks(guess, np.full((3, 2), np.nan), 0.1))
        assert box_area(true) == 100


class TestAveragePrecision:
    @pytest.mark.parametrize(
        ("hits", "n", "expected"),
        [
            ([True, False, True], 3, (34 + 33 * 2 / 3) / 101),
            ([False, True], 1, 0.5),
            ([True, True, True], 3, 1.0),
            ([], 2, 0.0),
            ([False, False], 2, 0.0),
        ],
    )
    def test_by_hand(self, hits, n, expected):
        assert average_precision(hits, n) == pytest.approx(expected, abs=1e-6)

    def test_nothing_to_find(self):
        assert np.isnan(average_precision([True], 0))

    @given(st.lists(st.booleans(), min_size=1, max_size=12))
    def test_false_ones_at_the_end_cost_nothing_and_in_front_something(self, hits):
        n = max(1, sum(hits))
        assert average_precision([*hits, False], n) == average_precision(hits, n)
        assert average_precision([False, *hits], n) <= average_precision(hits, n)


ANIMAL = np.array([[0.0, 0], [100, 0], [100, 100], [0, 100]])


class TestMeanAveragePrecision:
    def test_perfect(self):
        frames = [np.stack([ANIMAL, ANIMAL + 300]), ANIMAL[None]]
        found = mean_average_precision(frames, [[0.9, 0.8], [0.7]], frames, definition="sleap")
        assert found.mean == 1
        assert (found.n_true, found.n_predicted) == (3, 3)
        assert (found.recall == 1).all()

    def test_the_two_definitions_differ_for_the_same_predictions(self):
        true = [ANIMAL[None]]
        off = [ANIMAL[None] + [10, 0]]
        dlc = mean_average_precision(off, [[1.0]], true, definition="dlc")
        sleap = mean_average_precision(off, [[1.0]], true, definition="sleap")
        assert dlc.mean == pytest.approx(np.mean(THRESHOLDS <= 0.882497))
        assert sleap.mean == 0
        coco = mean_average_precision(
            off, [[1.0]], true, definition="coco", sigmas=[0.1] * 4, areas=[[1e4]]
        )
        assert coco.mean == dlc.mean

    def test_false_positives_count(self):
        frames = [ANIMAL[None]] * 3
        true = mean_average_precision(frames, [[0.5]] * 3, frames, definition="dlc")
        ghosts = [np.stack([ANIMAL, ANIMAL + 500])] * 3
        sure = mean_average_precision(ghosts, [[0.5, 0.9]] * 3, frames, definition="dlc")
        unsure = mean_average_precision(ghosts, [[0.5, 0.1]] * 3, frames, definition="dlc")
        assert true.mean == unsure.mean == 1
        assert sure.mean == pytest.approx(0.5)

    def test_two_guesses_at_one_animal(self):
        true = [ANIMAL[None]]
        twice = [np.stack([ANIMAL + [1, 0], ANIMAL])]
        found = mean_average_precision(twice, [[0.9, 0.8]], true, definition="dlc")
        assert found.n_predicted == 2
        assert found.recall[0] == 1
        assert found.mean == 1  # the surer one is near enough; the other is false, at the end

    def test_empty_frames(self):
        nothing = np.zeros((0, 4, 2))
        guesses, truth = [nothing, ANIMAL[None]], [ANIMAL[None], nothing]
        found = mean_average_precision(guesses, [[], [0.5]], truth, definition="dlc")
        assert found.mean == 0
        assert (found.n_true, found.n_predicted) == (1, 1)
        unlabelled = [np.full((1, 4, 2), np.nan)]
        assert np.isnan(
            mean_average_precision([ANIMAL[None]], [[1]], unlabelled, definition="dlc").mean
        )

    def test_refused(self):
        frames = [ANIMAL[None]]
        with pytest.raises(DataError, match="found 1, 2 and 1"):
            mean_average_precision(frames, [[1], [1]], frames, definition="dlc")
        with pytest.raises(DataError, match="needs sigmas"):
            mean_average_precision(frames, [[1]], frames, definition="coco")
        with pytest.raises(DataError, match="leave them out"):
            mean_average_precision(frames, [[1]], frames, definition="dlc", sigmas=[1])


def test_animals_on_a_line_or_of_one_keypoint_are_recognised():
    line = np.array([[0.0, 0.0], [40.0, 0.0]])
    assert similarities([line + 1], [line])[0, 0] > 0.8
    assert similarities([line + 100], [line])[0, 0] < 0.01
    lone = np.array([[0.0, 0.0], [np.nan, np.nan]])
    assert similarities([line + 1], [lone])[0, 0] > 0.8
    assert similarities([lone], [np.full((2, 2), np.nan)])[0, 0] == 0
