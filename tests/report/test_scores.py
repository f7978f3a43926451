import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tinbergen.report.scores import Baseline, Score, Summary, number

RIDGE = Baseline(name="ridge", value=22.0)


@pytest.mark.parametrize(
    ("value", "interval", "baselines", "expected"),
    [
        (20.0, (19, 21), (RIDGE,), "good"),
        (22.0, (21, 23), (RIDGE,), "good"),  # as good as the baseline
        (23.0, (22, 24), (RIDGE,), "fair"),
        (23.0, (22, 41), (RIDGE,), "poor"),  # the interval reaches the null
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
            interval=(ends[0], ends[1]),
            null=sign * null,
            baselines=(Baseline(name="b", value=sign * other),),
            direction=direction,
        ).judge()

    assert judge(1, "higher") == judge(-1, "lower")


def test_a_given_verdict_and_text_win():
    score = Score(name="leakage", value=0.9, null=0.1, verdict="poor", text="It leaks.")
    assert (score.judge(), score.sentence()) == ("poor", "It leaks.")


def test_sentence_states_value_interval_null_and_best_baseline():
    worse = Baseline(name="untrained", value=27.4)
    score = Score(
        name="probe",
        value=19.6,
        interval=(18.7, 20.5),
        null=40.2,
        null_name="mean pose",
        unit="px",
        direction="lower",
        baselines=(worse, RIDGE),
    )
    said = score.sentence().replace("\N{NO-BREAK SPACE}", " ")
    assert said == "19.6 px (18.7 to 20.5); mean pose 40.2 px; best baseline 22.0 px, ridge."


def test_a_score_without_value_says_so():
    assert Score(name="probe").sentence() == "Not measured."


def test_summary_knows_newer_keys_but_no_infinities():
    assert Summary.model_validate({"from_the_future": 1, "title": "x"}).title == "x"
    with pytest.raises(ValidationError):
        Score.model_validate({"name": "s", "value": float("inf")})


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_any_number_can_be_written(value):
    assert number(value)
