"""The sweep of population models: its space, and a tiny one from end to end."""

import pytest
from small import MODALITIES, SMALL

from tinbergen.configuration import merge, resolve
from tinbergen.errors import ConfigError
from tinbergen.population.config import PRESETS, PopulationConfig, population_config
from tinbergen.population.sweeping import DEFAULT_SPACE, sweep
from tinbergen.training import RunFolder
from tinbergen.training.launchers import Here
from tinbergen.training.space import check_space, parse_space

TINY = merge(SMALL, {"modalities": MODALITIES, "train": {"steps": 6, "validate_every": 2}})


@pytest.mark.parametrize("preset", PRESETS)
def test_the_default_space_fits_every_preset(preset):
    check_space(
        parse_space(DEFAULT_SPACE), lambda changes: population_config(preset, overrides=changes)
    )


def test_a_tiny_sweep(sessions, tmp_path):
    pytest.importorskip("optuna")
    space = {
        "train.learning_rate": {"log": [1e-4, 5e-3]},
        "units.linear_rank": {"int": [0, 8], "step": 4},
        "masks.ratio": [[0.02, 0.32], [0.3, 0.3]],
    }
    result = sweep(
        sessions, tmp_path / "s", trials=3, space=space, overrides=TINY, launcher=Here()
    )
    assert result.counts["failed"] == result.counts["running"] == 0
    first = RunFolder.open(tmp_path / "s/trials/000")
    assert resolve(PopulationConfig, first.config) == population_config(overrides=TINY)
    assert result.trials["score"].tolist()[0] == first.status["best_score"]
    for row in result.trials.to_dict("records"):
        stored = RunFolder.open(tmp_path / f"s/trials/{row['trial']:03d}").config
        assert stored["train"]["learning_rate"] == row["train.learning_rate"]
        assert stored["masks"]["ratio"] == row["masks.ratio"]
    assert len(set(result.trials["train.learning_rate"])) == 3


def test_what_is_set_is_not_searched(sessions, tmp_path):
    with pytest.raises(ConfigError, match="empty"):
        everything = {key.split(".")[0]: {} for key in DEFAULT_SPACE}
        for key in DEFAULT_SPACE:
            room, name = key.split(".")
            everything[room][name] = 1
        sweep(sessions, tmp_path / "s", trials=3, overrides=everything)
