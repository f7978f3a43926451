import numpy as np
import pytest

from tinbergen.errors import ConfigError
from tinbergen.simulation import LATENTS, MOUSE, simulate_latents

ARENA = (20.0, 16.0)


def draw(n=1, duration=60.0, seed=0, scales=None):
    generator = np.random.default_rng(seed)
    bouts = [MOUSE.sample(duration, generator) for _ in range(n)]
    return bouts, simulate_latents(bouts, scales or [1.0] * n, ARENA, generator)


def test_speed_and_turning_are_derivatives():
    _, (latents,) = draw()
    velocity = np.diff(latents["x"]) / 0.02, np.diff(latents["y"]) / 0.02
    path = np.concatenate([[0], np.cumsum(np.hypot(*velocity)) * 0.02])
    travelled = (
        np.concatenate([[0], np.cumsum(latents["speed"][:-1] + latents["speed"][1:])]) * 0.01
    )
    assert travelled[-1] == pytest.approx(path[-1], rel=0.02)
    np.testing.assert_allclose(travelled, path, atol=0.02 * path[-1])
    turned = np.cumsum(latents["turning"]) * 0.02
    np.testing.assert_allclose(
        turned - turned[0], latents["heading"] - latents["heading"][0], atol=0.3
    )


def test_speed_at_frame_times_is_the_speed_of_the_interpolated_path():
    _, (latents,) = draw()
    times = np.arange(0, 59, 1 / 30)
    frames = latents.at(times)
    speed = np.hypot(np.gradient(frames["x"], times), np.gradient(frames["y"], times))
    assert np.corrcoef(speed, frames["speed"])[0, 1] > 0.99


def test_behaviours_show_in_the_latents():
    (bouts,), (latents,) = draw(duration=300.0)

    def during(behaviour, latent):
        active = bouts.active(behaviour, latents.times - 0.3)
        active &= bouts.active(behaviour, latents.times + 0.3)
        return latents[latent][active].mean()

    assert during("walk", "speed") > 10 * during("rest", "speed")
    assert during("walk", "gait") > 0.8 > 0.1 > during("rest", "gait")
    for behaviour, latent in (("rear", "rearing"), ("groom", "grooming"), ("rest", "crouching")):
        assert during(behaviour, latent) > 0.7
        assert during("walk", latent) < 0.05
    assert during("walk", "arousal") > during("rest", "arousal")


def test_animals_stay_in_the_arena_and_apart():
    _, pair = draw(n=2, duration=120.0)
    for latents in pair:
        assert np.abs(latents["x"]).max() <= ARENA[0] / 2
        assert np.abs(latents["y"]).max() <= ARENA[1] / 2
    gap = np.hypot(pair[0]["x"] - pair[1]["x"], pair[0]["y"] - pair[1]["y"])
    assert np.quantile(gap, 0.01) > 3.0
    assert gap.std() > 1.0


def test_phases_never_run_backwards():
    _, (latents,) = draw()
    for name in ("gait_phase", "groom_phase", "breath_phase"):
        assert (np.diff(latents[name]) >= 0).all()


def test_same_seed_same_latents_and_another_seed_others():
    _, (a,) = draw(seed=4)
    _, (b,) = draw(seed=4)
    _, (c,) = draw(seed=5)
    np.testing.assert_array_equal(a.values, b.values)
    assert a.values.shape == (len(a.times), len(LATENTS))
    assert np.abs(a["x"] - c["x"]).max() > 1


def test_a_scale_for_each_individual():
    with pytest.raises(ConfigError, match="scale for each"):
        simulate_latents([], [], ARENA, np.random.default_rng(0))
