"""Search spaces: what is understood, and what is refused before anything starts."""

import pytest

from tinbergen.configuration import Config, parse_yaml, resolve
from tinbergen.errors import ConfigError
from tinbergen.training import TrainConfig
from tinbergen.training.space import check_space, nested, parse_space, read_space, setting

WRITTEN = """
train.learning_rate: {log: [1e-4, 5e-3]}
dropout: {between: [0.0, 0.4]}
depth: {int: [1, 5], step: 2}
width: [64, 128]
ratio: {choices: [[0.1, 0.2], [0.3, 0.3]]}
"""


class Small(Config):
    dropout: float = 0.1
    depth: int = 3
    width: int = 64
    ratio: tuple[float, float] = (0.3, 0.3)
    train: TrainConfig = TrainConfig()


def config(changes):
    return resolve(Small, changes)


def test_what_is_drawn_lies_in_the_space_and_fits_the_settings():
    optuna = pytest.importorskip("optuna")
    space = parse_space(parse_yaml(WRITTEN))
    check_space(space, config)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = []
    for _ in range(30):
        drawn = study.ask({key: d.distribution() for key, d in space.items()}).params
        values = {key: d.value(drawn[key]) for key, d in space.items()}
        assert {key: d.drawn(values[key]) for key, d in space.items()} == drawn
        seen.append(config(nested(values)))
    assert {c.depth for c in seen} == {1, 3, 5}
    assert {c.width for c in seen} == {64, 128}
    assert {c.ratio for c in seen} == {(0.1, 0.2), (0.3, 0.3)}
    assert all(1e-4 <= c.train.learning_rate <= 5e-3 and 0 <= c.dropout <= 0.4 for c in seen)


def test_the_settings_as_they_are_in_the_space():
    space = parse_space(parse_yaml(WRITTEN))
    present = {key: d.drawn(setting(config({}), key)) for key, d in space.items()}
    assert present == {
        "train.learning_rate": 1e-3,
        "dropout": 0.1,
        "depth": 3,
        "width": 64,
        "ratio": "[0.3, 0.3]",
    }
    assert space["depth"].drawn(2) is None
    assert space["dropout"].drawn(0.5) is None


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({}, "empty"),
        ({"width": 3}, "width: expected"),
        ({"train": {"learning_rate": {"log": [1, 2]}}}, "with dots"),
        ({"width": {"log": [1, 2], "int": [1, 2]}}, "width: expected"),
        ({"width": {"log": [1, 2], "step": 1}}, "width: expected"),
        ({"width": {"log": 3}}, "width: expected"),
        ({"width": {"log": [0, 2]}}, "begins above 0"),
        ({"width": {"between": [2, 1]}}, r"between: \[low, high\]"),
        ({"width": {"between": ["a", "b"]}}, r"between: \[low, high\]"),
        ({"width": {"int": [1.5, 2]}}, r"int: \[low, high\]"),
        ({"width": {"int": [1, 4], "step": 2}}, "no multiple"),
        ({"width": [64]}, "two or more"),
        ({"width": [64, 64]}, "two or more"),
    ],
)
def test_what_cannot_be_understood_is_refused(written, said):
    with pytest.raises(ConfigError, match=said):
        parse_space(written)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"widht": [1, 2]}, "did you mean 'width'"),
        ({"train.learnin_rate": {"log": [1e-4, 1e-2]}}, "did you mean 'learning_rate'"),
        ({"train.learning_rate": {"between": [-1.0, 1.0]}}, "train.learning_rate = -1.0"),
        ({"depth": {"between": [1.5, 3.5]}}, "depth = 1.5"),
    ],
)
def test_what_does_not_fit_the_settings_is_refused(written, said):
    with pytest.raises(ConfigError, match=said):
        check_space(parse_space(written), config)


def test_a_space_is_read_from_a_file(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text(WRITTEN)
    assert read_space(path) == parse_yaml(WRITTEN)
