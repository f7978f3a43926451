"""Animals that act alike: what is shared, what is not, and the numbers of the calcium response."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tinbergen.errors import ConfigError
from tinbergen.simulation import CONNECTIVE, SharedActions, simulate_shared_actions

SHORT = SharedActions(animals=3, duration=60.0)


def test_the_response_of_the_connective():
    times = np.arange(0, 15, 0.01)
    kernel = CONNECTIVE.kernel(times)
    fine = np.arange(0, 15, 1e-4)
    assert times[kernel.argmax()] == pytest.approx(0.45)
    assert fine[CONNECTIVE.kernel(fine).argmax()] == pytest.approx(0.4515, abs=1e-4)
    raw = np.exp(-0.3 * fine) - np.exp(-7.4 * fine)
    assert np.allclose(CONNECTIVE.kernel(fine), raw / raw.max(), atol=1e-6)
    whole = np.arange(0, 100, 1e-3)
    area = (CONNECTIVE.kernel(whole) * raw.max()).sum() * 1e-3
    assert area == pytest.approx(1 / 0.3 - 1 / 7.4, abs=1e-3)
    assert (times * kernel).sum() / kernel.sum() == pytest.approx(3.2938, abs=2e-3)
    assert (CONNECTIVE.kernel(np.array([-1.0, -0.01])) == 0).all()


def test_poses_share_a_map_and_neurons_do_not():
    no_gap = simulate_shared_actions(replace(SHORT, gap=0.0))
    pairs = [(r["latents"].values, r["pose"].values) for r in no_gap]
    # One map: a pose seen at a place by one animal is what another shows there.
    for latent, pose in pairs[1:]:
        near = np.linalg.norm(latent[:, None] - pairs[0][0], axis=2)
        close = near.min(axis=1) < 0.02
        assert close.sum() > 20
        other = pairs[0][1][near.argmin(axis=1)]
        assert np.abs(pose - other)[close].mean() < 0.1
    assert not np.array_equal(no_gap[0]["neural"].values, no_gap[1]["neural"].values)


def test_the_gap_moves_the_pose_alone():
    plain = simulate_shared_actions(replace(SHORT, gap=0.0))
    apart = simulate_shared_actions(replace(SHORT, gap=2.0))
    for a, b in zip(plain, apart, strict=True):
        assert np.array_equal(a["neural"].values, b["neural"].values)
        assert np.abs(b["pose"].values.mean(0) - a["pose"].values.mean(0)).mean() > 0.3


def test_an_animal_does_not_depend_on_the_others():
    few = simulate_shared_actions(replace(SHORT, animals=2))
    many = simulate_shared_actions(SHORT)
    for a, b in zip(few, many, strict=False):
        for stream in ("neural", "pose", "latents"):
            assert np.array_equal(a[stream].values, b[stream].values)


def test_rates_actions_and_noise():
    settings = replace(SHORT, pose_fps=100.0, noise=0.25)
    recording = simulate_shared_actions(settings, seed=3)[0]
    assert len(recording["neural"]) == 960 and len(recording["pose"]) == 6000
    noise = recording["neural"].values - recording["clean"].values
    assert noise.std() == pytest.approx(0.25, rel=0.02)
    latents = recording["latents"]
    codes = recording["actions"].codes(latents.times)
    assert (codes == 2 * (latents.values[:, 0] > 0) + (latents.values[:, 1] > 0)).all()
    assert np.abs(latents.values).max() <= 1


def test_settings_that_cannot_be():
    with pytest.raises(ConfigError, match="at least one animal"):
        SharedActions(animals=0)
