import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinbergen.errors import ConfigError
from tinbergen.simulation import MOUSE, Behaviour, BehaviourModel


@st.composite
def models(draw):
    n = draw(st.integers(2, 5))
    behaviours = []
    for i in range(n):
        minimum = draw(st.floats(0.01, 2.0))
        mean = minimum + draw(st.floats(0.01, 5.0))
        shape = draw(st.floats(0.3, 8.0))
        behaviours.append(Behaviour(f"b{i}", mean, minimum, shape))
    weights = np.array([[draw(st.floats(0.01, 1.0)) for _ in range(n)] for _ in range(n)])
    np.fill_diagonal(weights, 0)
    weights /= weights.sum(axis=1, keepdims=True)
    return BehaviourModel(tuple(behaviours), tuple(map(tuple, weights.tolist())))


@settings(max_examples=60, deadline=None)
@given(models(), st.floats(0.05, 120.0), st.integers(0, 2**31))
def test_bouts_tile_the_time_and_respect_the_minimum(model, duration, seed):
    bouts = model.sample(duration, np.random.default_rng(seed))
    minimum = {behaviour.name: behaviour.minimum for behaviour in model.behaviours}
    assert bouts.starts[0] == 0 and bouts.stops[-1] == duration
    np.testing.assert_array_equal(bouts.starts[1:], bouts.stops[:-1])
    assert (bouts.stops > bouts.starts).all()
    lengths = (bouts.stops - bouts.starts)[:-1]
    floors = np.array([minimum[name] for name in bouts.names[:-1]])
    assert (lengths >= floors - 1e-9 * duration).all()
    assert all(a != b for a, b in zip(bouts.names, bouts.names[1:], strict=False))


def test_durations_and_transitions_follow_the_parameters():
    bouts = MOUSE.sample(60_000.0, np.random.default_rng(1))
    names = np.array(bouts.names)
    lengths = bouts.stops - bouts.starts
    for i, behaviour in enumerate(MOUSE.behaviours):
        mine = np.flatnonzero(names[:-1] == behaviour.name)
        scale = (behaviour.mean - behaviour.minimum) / behaviour.shape
        spread = np.sqrt(behaviour.shape) * scale  # of a Gamma variate
        error = spread / np.sqrt(len(mine))
        assert abs(lengths[mine].mean() - behaviour.mean) < 4 * error
        assert lengths[mine].std() == pytest.approx(spread, rel=0.1)
        following = names[mine + 1]
        for j, name in enumerate(MOUSE.names):
            p = MOUSE.transitions[i][j]
            error = np.sqrt(p * (1 - p) / len(mine))
            assert abs((following == name).mean() - p) <= 4 * error


def test_active_is_half_open():
    bouts = MOUSE.sample(30.0, np.random.default_rng(0))
    edge = bouts.starts[1]
    assert bouts.active(bouts.names[1], np.array([edge])).all()
    assert not bouts.active(bouts.names[1], np.array([np.nextafter(edge, 0)])).any()


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: Behaviour("walk", mean=1.0, minimum=2.0), "minimum < mean"),
        (lambda: Behaviour("walk", mean=1.0, minimum=0.5, shape=0.0), "shape"),
        (lambda: BehaviourModel(MOUSE.behaviours, ((0.0, 1.0), (1.0, 0.0))), "square"),
        (lambda: BehaviourModel(MOUSE.behaviours[:2], ((0.5, 0.5), (1.0, 0.0))), "diagonal"),
        (lambda: BehaviourModel(MOUSE.behaviours[:2], ((0.0, 0.9), (1.0, 0.0))), "sum to 1"),
        (lambda: MOUSE.sample(0.0, np.random.default_rng(0)), "duration"),
    ],
)
def test_nonsense_is_refused(build, message):
    with pytest.raises(ConfigError, match=message):
        build()
