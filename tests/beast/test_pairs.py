import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinbergen.beast.pairs import PairSampler
from tinbergen.beast.spread import too_close
from tinbergen.errors import ConfigError
from tinbergen.training import shard


def index_of(*lengths, fps=250.0, anchor=None, status=None):
    video = np.repeat(np.arange(len(lengths)), lengths)
    frame = np.concatenate([np.arange(n) for n in lengths])
    table = pd.DataFrame({"video": video, "frame": frame, "time": frame / fps, "stretch": video})
    table["status"] = 0 if status is None else status
    table["anchor"] = True if anchor is None else anchor
    return table


def epochs(sampler, number):
    """All groups of the first epochs, as one array."""
    steps = range(int(np.ceil(number * sampler.epoch_length)))
    return np.concatenate([sampler.batch(step) for step in steps])


def groups_of_epoch(sampler, epoch):
    return np.concatenate([s._epoch(epoch) for s in sampler._streams])


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=4),
    st.integers(1, 4),
    st.integers(1, 3),
    st.sampled_from([0.0, 0.02]),
    st.integers(0, 100),
)
def test_groups_are_disjoint_cover_all_and_stay_in_their_video(
    lengths, offset, positives, exclusion, seed
):
    index = index_of(*lengths)
    size = positives + 1
    try:
        sampler = PairSampler(
            index, size, offset=offset, positives=positives, exclusion=exclusion, seed=seed
        )
    except ConfigError:
        assert max(lengths) <= offset * (size - 1)
        return
    period = int(np.lcm.reduce(np.arange(1, size + 1)))
    seen = set()
    for epoch in range(period):
        groups = groups_of_epoch(sampler, epoch)
        assert len(np.unique(groups)) == groups.size  # no frame twice in an epoch
        frame, video = index["frame"].to_numpy()[groups], index["video"].to_numpy()[groups]
        assert (video == video[:, :1]).all()
        assert (np.diff(np.sort(frame, axis=1), axis=1) == offset).all()
        seen |= set(groups.ravel().tolist())
    chain = np.concatenate([np.bincount(np.arange(n) % offset, minlength=offset)[
        np.arange(n) % offset] for n in lengths])  # fmt: skip
    assert seen == set(np.flatnonzero(chain >= size).tolist())


def test_facts_of_the_reference_sampler():
    """280 consecutive frames, batches of 32: the reference makes 2 batches an epoch."""
    sampler = PairSampler(index_of(280), 32)
    assert sampler.epoch_length >= 2 * (280 // 3) / 32
    assert sampler.epoch_length == pytest.approx(280 / 32, rel=0.01)
    batch = sampler.batch(3)
    assert batch.shape == (16, 2) and (np.abs(np.diff(batch, axis=1)) == 1).all()


def test_selected_anchors_are_each_once_an_anchor_or_a_positive():
    """Anchors with their neighbours only, as a selected cache holds them."""
    frames = np.unique(np.concatenate([[a - 1, a, a + 1] for a in (5, 20, 22, 40, 41, 60)]))
    index = index_of(len(frames))
    index["frame"], index["time"] = frames, frames / 250
    index["anchor"] = np.isin(frames, (5, 20, 22, 40, 41, 60))
    sampler = PairSampler(index, 2)
    for epoch in range(6):
        groups = groups_of_epoch(sampler, epoch)
        first = index["anchor"].to_numpy()[groups[:, 0]]
        assert first.all()
        covered = np.unique(groups[index["anchor"].to_numpy()[groups]])
        assert len(covered) == 6
    both = {tuple(g) for e in range(6) for g in frames[groups_of_epoch(sampler, e)]}
    assert {(5, 4), (5, 6)} <= both


def test_two_positives_are_the_two_neighbours():
    anchor = np.zeros(9, bool)
    anchor[[1, 4, 7]] = True
    groups = groups_of_epoch(PairSampler(index_of(9, anchor=anchor), 3, positives=2), 0)
    assert (anchor[groups[:, 0]]).all() and len(groups) >= 2


def test_batches_are_a_stream_without_remainder():
    index = index_of(281, 130)
    sampler = PairSampler(index, 33)
    assert sampler.n_groups == 16
    first = groups_of_epoch(sampler, 0)
    stream = epochs(sampler, 3)
    assert np.array_equal(stream[: len(first)], first)
    second = groups_of_epoch(sampler, 1)
    assert np.array_equal(stream[len(first) : len(first) + len(second)], second)


def test_pure_function_of_seed_and_step():
    index = index_of(500, 300)
    make = lambda seed=0: PairSampler(index, 32, exclusion=0.1, seed=seed)  # noqa: E731
    straight, other = make(), make()
    batches = [straight.batch(step) for step in range(60)]
    assert np.array_equal(other.batch(57), batches[57])
    assert np.array_equal(other.batch(3), batches[3])
    assert np.array_equal(pickle.loads(pickle.dumps(straight)).batch(31), batches[31])
    assert not np.array_equal(make(1).batch(0), batches[0])
    assert make().batch(10**6).shape == (16, 2)


def test_exclusion_holds_wherever_there_is_room():
    """144 groups, batches of 16: every eighth keeps 14 frames = 0.056 s, so 0.05 s fits."""
    index = index_of(288)  # 144 or 143 groups
    sampler = PairSampler(index, 32, exclusion=0.05)
    video, time = index["video"].to_numpy(), index["time"].to_numpy()
    n_close = 0
    for step in range(90):
        rows = sampler.batch(step)[:, 0]
        n_close += (too_close(video[rows], time[rows], 0.05).sum() - len(rows)) // 2 > 0
    assert n_close <= 90 / sampler.epoch_length + 1  # at most the seam between two epochs
    loose = PairSampler(index, 32)
    crowded = sum(
        too_close(video[r], time[r], 0.05).sum() > len(r)
        for r in (loose.batch(step)[:, 0] for step in range(90))
    )
    assert crowded > 60


def test_exclusion_without_room_still_gives_full_batches():
    sampler = PairSampler(index_of(64), 32, exclusion=10.0)
    for step in range(5):
        assert len(np.unique(sampler.batch(step))) >= 16


def test_exclusion_lets_frames_of_all_epochs_meet():
    index = index_of(400)
    sampler = PairSampler(index, 16, exclusion=0.04)
    partners = {int(r) for step in range(3000)
                for b in [sampler.batch(step)[:, 0]] if 200 in b for r in b}  # fmt: skip
    distance = np.abs(np.array(sorted(partners)) - 200)
    assert len(partners) > 200 and np.sort(distance)[1] >= 10  # 0.04 s at 250 Hz


def test_within_video():
    index = index_of(300, 90, 41)
    sampler = PairSampler(index, 32, within_video=True, exclusion=0.01)
    video = index["video"].to_numpy()
    steps = range(int(8 * sampler.epoch_length))
    of_batch = [np.unique(video[sampler.batch(step)]) for step in steps]
    assert all(len(v) == 1 for v in of_batch)
    share = np.bincount(np.concatenate(of_batch)) / len(of_batch)
    np.testing.assert_allclose(share, np.array([300, 90, 41]) / 431, atol=0.03)
    rows = np.concatenate([sampler.batch(step).ravel() for step in steps])
    assert set(rows) == set(range(431))
    with pytest.raises(ConfigError, match="within_video=False"):
        PairSampler(index, 64, within_video=True)


def test_too_few_frames_names_numbers_and_the_way_out():
    with pytest.raises(ConfigError, match=r"needs 64 groups of 2 .* 10 cached .* to 8"):
        PairSampler(index_of(10), 128)
    with pytest.raises(ConfigError, match="give 0"):
        PairSampler(index_of(1), 2)


def test_damaged_frames_and_rows_left_out_are_never_crossed_nor_used():
    status = np.zeros(30, int)
    status[10] = 1
    index = index_of(30, status=status)
    index["stretch"] = np.where(np.arange(30) < 10, 0, 1)
    kept = index.drop(index=range(20, 25))
    sampler = PairSampler(kept, 2, offset=2)
    for epoch in range(4):
        for pair in groups_of_epoch(sampler, epoch):
            low, high = sorted(pair)
            assert high - low == 2 and not low <= 10 <= high
            assert not {20, 21, 22, 23, 24} & {low, high}


def test_offset_in_seconds_with_two_frame_rates():
    index = pd.concat([index_of(100, fps=50), index_of(200, fps=100).assign(video=1, stretch=1)])
    index = index.reset_index(drop=True)
    sampler = PairSampler(index, 32, offset=0.1, unit="seconds", intervals=np.array([0.02, 0.01]))
    pairs = groups_of_epoch(sampler, 0)
    apart = np.abs(np.diff(index["time"].to_numpy()[pairs], axis=1))
    np.testing.assert_allclose(apart, 0.1, atol=1e-9)


def test_processes_share_a_batch_by_groups():
    batch = PairSampler(index_of(280), 32).batch(0)
    parts = [shard(batch, rank, 2) for rank in range(2)]
    assert all(part.shape == (8, 2) for part in parts)
    assert np.array_equal(np.concatenate(parts), batch)


def test_too_close_marks_same_video_only():
    close = too_close(np.array([0, 0, 1, 0]), np.array([0.0, 0.1, 0.1, 0.5]), 0.2)
    expected = np.eye(4, dtype=bool)
    expected[0, 1] = expected[1, 0] = True
    assert np.array_equal(close, expected)
    same_frame = too_close(np.zeros(2), np.zeros(2), 0.0)
    assert same_frame.all()
