import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tinbergen.metrics.score import Baseline, Interval, Score
from tinbergen.report.scores import Summary, number, sentence

RIDGE = Baseline(name="ridge", value=22.0)


@pytest.mark.parametrize(
    ("value", "interval", "baselines", "expected"),
    [
        (20.0, Interval(19, 21), (RIDGE,), "good"),
        (22.0, Interval(21, 23), (RIDGE,), "good"),  # as good as the baseline
        (23.0, Interval(22, 24), (RIDGE,), "fair"),
        (23.0, Interval(22, 41), (RIDGE,), "poor"),  # the interval reaches the null
        (45.0, None, (), "poor"),
        (40.0, None, (), "poor"),  # equal to the null
        (None, None, (RIDGE,), "unknown"),
        (20.0, None, (Baseline(name="not run"),), "good"),
    ],
)
def test_verdict_of_an_error(value, interval, baselines, expected):
    score = Score(
        name="error",
        value=value,
        interval=interval,
        null=40.0,
        baselines=baselines,
        direction="lower",
    )
    assert score.judge() == expected


@given(st.floats(-9, 9), st.floats(0, 3), st.floats(-9, 9), st.floats(-9, 9))
def test_turning_a_score_upside_down_keeps_its_verdict(value, half, null, other):
    def judge(sign, direction):
        ends = sorted((sign * (value - half), sign * (value + half)))
        return Score(
            name="s",
            value=sign * value,
            interval=Interval(*ends),
            null=sign * null,
            baselines=(Baseline(name="b", value=sign * other),),
            direction=direction,
        ).judge()

    assert judge(1, "higher") == judge(-1, "lower")


def test_a_given_verdict_and_text_win():
    score = Score(name="leakage", value=0.9, null=0.1, verdict="poor", text="It leaks.")
    assert (score.judge(), sentence(score)) == ("poor", "It leaks.")


def test_sentence_states_value_interval_null_and_best_baseline():
    worse = Baseline(name="untrained", value=27.4)
    score = Score(
        name="probe",
        value=19.6,
        interval=Interval(18.7, 20.5),
        null=40.2,
        null_name="mean pose",
        unit="px",
        direction="lower",
        baselines=(worse, RIDGE),
    )
    said = sentence(score).replace("\N{NO-BREAK SPACE}", " ")
    assert said == "19.6 px (18.7 to 20.5); mean pose 40.2 px; best baseline 22.0 px, ridge."


def test_a_score_without_value_says_so():
    assert sentence(Score(name="probe")) == "Not measured."


def test_summary_knows_newer_keys_but_no_other_words():
    assert Summary.model_validate({"from_the_future": 1, "title": "x"}).title == "x"
    with pytest.raises(ValidationError, match="direction"):
        Summary.model_validate({"headline": {"name": "s", "direction": "sideways"}})


def test_scores_come_back_from_their_file():
    score = Score("s", 1.0, interval=Interval(0.5, 2.0), baselines=(RIDGE,), n=3)
    empty = Score("t", math.nan, null=math.inf, interval=Interval(math.nan, 1.0))
    text = json.dumps({"headline": score.to_dict(), "scores": [empty.to_dict()]}, allow_nan=False)
    assert Summary.model_validate_json(text).all_scores() == [score, Score("t")]


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_any_number_can_be_written(value):
    assert number(value)
