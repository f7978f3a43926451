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


def test_recordings_are_apart_and_empty_ones_stay():
    _, said = noisy(0)
    both = smooth_codes([said, said[:0], said], 3)
    assert len(both[1]) == 0
    np.testing.assert_array_equal(both[0], both[2])
    assert smooth_codes([said[:0]], 3)[0].shape == (0,)


def test_a_code_without_a_class_is_refused():
    with pytest.raises(DataError, match="recording 1: expected codes from -1 to 1"):
        smooth_codes([np.array([0, 1]), np.array([2])], 2)
