"""What carries over to the next animal, on animals that differ in pose and share no neuron."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from small_animals import make_animals

from tinbergen.crossanimal import CrossAnimal

ANIMALS, FRAMES, TRAIN, GAP = 6, 2000, 1600, 10


@pytest.fixture(scope="module")
def study():
    return make_animals(ANIMALS, FRAMES, neurons=100, pose=20)


def scores(study, **settings):
    """Accuracy within animals and of the one left out, and of who it is; features unseen."""
    animals, actions = study
    base = {
        # As the published method has it: nothing else than the negatives or swapping helps.
        "whiten": 0,
        "network": {"members": 1, "output": 16, "temporal": "perceptron", "dropout": 0.0},
        "augment": {"neuron_dropout": 0.0},
        "train": {"steps": 400, "device": "cpu", "learning_rate": 1e-3},
        **settings,
    }
    made = CrossAnimal(settings=base, random_state=0).fit([a.between(0, TRAIN) for a in animals])
    features = np.stack([made.transform(a) for a in animals])
    features = (features - features.mean((0, 1))) / features.std((0, 1))

    def fit(x, y):
        return LogisticRegression(max_iter=200).fit(x[::4], y[::4])

    single, left_out = [], []
    for i in range(ANIMALS):
        rest = [j for j in range(ANIMALS) if j != i]
        x, y = features[i, TRAIN + GAP :], actions[i][TRAIN + GAP :]
        single.append(fit(features[i, :TRAIN], actions[i][:TRAIN]).score(x, y))
        pooled = np.concatenate([features[j, :TRAIN] for j in rest])
        labels = np.concatenate([actions[j][:TRAIN] for j in rest])
        left_out.append(fit(pooled, labels).score(x, y))
    owner = np.repeat(np.arange(ANIMALS), TRAIN)
    who = fit(features[:, :TRAIN].reshape(-1, features.shape[2]), owner)
    later = features[:, TRAIN + GAP :]
    identity = who.score(
        later.reshape(-1, later.shape[2]), np.repeat(np.arange(ANIMALS), later.shape[1])
    )
    return float(np.mean(single)), float(np.mean(left_out)), float(identity)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The nearest pose")
def test_negatives_of_the_same_animal_and_swapping_hide_who_it_is(study):
    together = {"normalise_pose": "all"}
    same = scores(study, **together)
    mixed = scores(study, negatives="mixed", **together)
    swapped = scores(study, negatives="mixed", swap={"pose": 1.0}, **together)
    assert same[1] > same[0] - 0.06
    assert same[2] < 0.35
    assert mixed[1] < mixed[0] - 0.12
    assert swapped[1] > mixed[1] + 0.06
