"""What is held out for validation never leaks into training."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_beast import tiny_config

from tinbergen.beast.pretraining import hold_out


def index_of(videos, broken, generator):
    """Rows of several videos: (recording, frames cached, fps, first time)."""
    parts = []
    for number, (recording, n, fps, start) in enumerate(videos):
        frames = np.sort(generator.choice(4 * n, n, replace=False))
        status = (generator.random(n) < broken).astype(np.uint8)
        parts.append(
            pd.DataFrame(
                {
                    "recording": recording, "stream": f"camera{number}", "video": number,
                    "frame": frames, "time": start + frames / fps, "status": status,
                }
            )
        )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


videos = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.integers(1, 400),
        st.sampled_from([5.0, 30.0, 250.0]),
        st.sampled_from([0.0, 1e5]),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=80, deadline=None)
@given(
    videos=videos,
    broken=st.sampled_from([0.0, 0.2]),
    seed=st.integers(0, 1000),
    contrast=st.sampled_from(
        [
            {"weight": 0.0},
            {"offset": 1.0},
            {"offset": 3.0, "positives": 2},
            {"offset": 0.2, "offset_unit": "seconds"},
            {"exclusion": 0.5},
        ]
    ),
)
def test_no_frame_within_the_gap(videos, broken, seed, contrast):
    config = tiny_config(contrast=contrast, train={"batch_size": 12, "seed": seed})
    index = index_of(videos, broken, np.random.default_rng(seed))
    train, validation, splits = hold_out(index, config)
    assert not set(train) & set(validation)
    assert (index["status"].to_numpy()[np.r_[train, validation]] == 0).all()
    if not len(validation):
        assert len(train) == (index["status"] == 0).sum()
        assert splits == {"validation": []}
        return
    assert len(validation) >= 8
    held = {entry["recording"]: entry for entry in splits["validation"]}
    recording, time = index["recording"].to_numpy().astype(str), index["time"].to_numpy()
    for name in set(recording[validation]):
        own, other = (time[rows[recording[rows] == name]] for rows in (validation, train))
        entry = held[name]
        assert entry["gap"] >= max(0.1, config.contrast.exclusion)
        assert ((own >= entry["start"]) & (own < entry["stop"])).all()
        if len(other):  # of any camera of the recording
            distance = np.abs(own[:, None] - other[None]).min()
            assert distance >= entry["gap"] * (1 - 1e-6)


def test_the_same_seed_holds_the_same_out_and_another_does_not():
    index = index_of([("a", 400, 30.0, 0.0)], 0.0, np.random.default_rng(0))
    held = [
        hold_out(index, tiny_config(train={"seed": seed}))[2]["validation"] for seed in (1, 1, 2)
    ]
    assert held[0] == held[1] != held[2]


def test_a_twentieth_is_held_out_and_most_is_trained_on():
    index = index_of([("a", 2000, 30.0, 0.0)], 0.0, np.random.default_rng(0))
    train, validation, _ = hold_out(index, tiny_config())
    assert 60 <= len(validation) <= 140
    assert len(train) >= 1800
