import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinbergen.actions import smooth_codes
from tinbergen.errors import DataError
from tinbergen.metrics import bouts


def noisy(seed, wrong=0.1, n=3):
    """True bouts of 30 to 90 frames, one kind of them without a class, and what rules say."""
    rng = np.random.default_rng(seed)
    true = np.repeat(rng.integers(-1, n, 20), rng.integers(30, 90, 20))
    said = np.where(rng.random(len(true)) < wrong, rng.integers(-1, n, len(true)), true)
    return true, said


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 10_000))
def test_flicker_goes_and_bouts_stay(seed):
    true, said = zip(*(noisy(seed + i) for i in range(2)), strict=True)
    found = smooth_codes(said, 3)
    for t, s, f in zip(true, said, found, strict=True):
        assert (f == t).mean() > max(0.97, (s == t).mean())
        assert len(bouts(f).codes) < 1.5 * len(bouts(t).codes)


def test_a_state_never_comes_to_mean_another_class():
    # Three kinds of behaviour, in all of which rules waver. Unless a rule has to be right in half
    # of the frames of its state, that of class 0 comes to hold twice as many frames of class 1.
    rng = np.random.default_rng(5)
    kinds = np.repeat(rng.integers(0, 3, 60), rng.integers(10, 60, 60))
    shares = np.array([[0.0, 0.1, 0.8, 0.1], [0.1, 0.55, 0.35, 0.0], [0.05, 0.3, 0.65, 0.0]])
    said = np.array([rng.choice(4, p=shares[k]) - 1 for k in kinds])
    (found,) = smooth_codes([said], 3)
    for code in np.unique(found):
        assert (said[found == code] == code).mean() > 0.4


def test_recordings_are_apart_and_empty_ones_stay():
    _, said = noisy(0)
    both = smooth_codes([said, said[:0], said], 3)
    assert len(both[1]) == 0
    np.testing.assert_array_equal(both[0], both[2])
    assert smooth_codes([said[:0]], 3)[0].shape == (0,)


def test_a_code_without_a_class_is_refused():
    with pytest.raises(DataError, match="recording 1: expected codes from -1 to 1"):
        smooth_codes([np.array([0, 1]), np.array([2])], 2)
