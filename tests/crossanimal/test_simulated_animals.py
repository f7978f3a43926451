"""What negatives of the same animal and swapped poses do where poses tell who it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinbergen.crossanimal import (
    CrossAnimal,
    animals_of,
    evaluate_embeddings,
    fitted_method,
    split_at_end,
)
from tinbergen.simulation import SharedActions, simulate_shared_actions

SETTINGS = {
    "normalise_pose": "all",  # by animal, the gap would be gone before training
    "whiten": 0,
    "network": {"members": 1, "temporal": "perceptron"},
    "train": {"steps": 400, "device": "cpu"},
}
ROWS = {
    "same": {},
    "mixed": {"negatives": "mixed"},
    "swap": {"negatives": "mixed", "swap": {"pose": 1.0}},
}
SEEDS = (0, 1)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The nearest pose of another animal")
def test_same_animal_mixed_and_swapped():
    recordings = simulate_shared_actions(SharedActions(gap=1.0))
    animals = animals_of(recordings, "neural", "pose")
    splits = {each.name: split_at_end(len(each)) for each in animals}
    labels = {
        r.name: np.array(r["actions"].classes)[r["actions"].codes(r["neural"].times)]
        for r in recordings
    }
    methods = [
        fitted_method(
            name,
            lambda seed, own=own: CrossAnimal(settings={**SETTINGS, **own}, random_state=seed),
            animals,
            splits,
            seeds=SEEDS,
        )
        for name, own in ROWS.items()
    ]
    found = evaluate_embeddings(methods, labels, splits, nulls=0, window=9, fractions=(1.0,))
    table: Any = found.summary().set_index(["method", "protocol"])["balanced_accuracy"]
    who: Any = found.identity_summary().set_index(["method", "space", "probe"])["accuracy"]
    assert table["same", "leave-one-out"] > table["same", "single"] - 0.06
    assert who["same", "h", "linear"] < 0.35
    assert table["mixed", "leave-one-out"] < table["mixed", "single"] - 0.12
    assert table["swap", "leave-one-out"] > table["mixed", "leave-one-out"] + 0.06
