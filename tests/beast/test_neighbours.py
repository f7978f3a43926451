import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tinbergen.beast.neighbours import following, preceding, unbroken_stretches


@given(
    st.lists(st.tuples(st.floats(0.01, 0.05), st.booleans()), min_size=2, max_size=40),
    st.integers(1, 5),
)
def test_neighbours_never_cross_damage_or_gaps(rows, offset):
    times = np.cumsum([step for step, _ in rows])
    status = np.array([bad for _, bad in rows]).astype(np.uint8)
    stretch = unbroken_stretches(times, status)
    after = following(np.arange(len(rows)), times, stretch, offset)
    limit = 1.5 * np.median(np.diff(times))
    for i, j in enumerate(after):
        between = np.arange(i, i + offset + 1)
        inside = i + offset < len(rows)
        sound = inside and not status[between].any()
        unbroken = sound and (np.diff(times[between]) <= limit).all()
        assert j == (i + offset if unbroken else -1)


def test_seconds_are_the_nearest_frame_and_never_branch():
    times = np.array([0.0, 0.03, 0.07, 0.10, 0.13, 0.17, 0.20])
    stretch = np.zeros(7, int)
    after = following(np.arange(7), times, stretch, 0.1, "seconds", interval=0.033)
    assert after.tolist() == [3, 4, 5, 6, -1, -1, -1]
    assert preceding(after).tolist() == [-1, -1, -1, 0, 1, 2, 3]


def test_seconds_without_a_frame_there_have_no_neighbour():
    times = np.arange(5) / 10
    stretch = np.zeros(5, int)
    assert (following(np.arange(5), times, stretch, 0.15, "seconds", 0.01) == -1).all()
    assert (following(np.arange(5), times, stretch, 0.01, "seconds", 0.1) == -1).all()


def test_sparse_rows_and_empty_input():
    frames = np.array([0, 1, 2, 10, 11, 12])
    after = following(frames, frames / 50, np.zeros(6, int), 1)
    assert after.tolist() == [1, 2, -1, 4, 5, -1]
    assert len(following(np.zeros(0, int), np.zeros(0), np.zeros(0, int), 1)) == 0
    assert len(unbroken_stretches(np.zeros(0), np.zeros(0))) == 0
