import numpy as np
import pytest

from tinbergen.simulation import KEYPOINTS, LATENTS, Latents, Subject, articulate


def still(n=1, **values):
    columns = [np.broadcast_to(values.get(name, 0.0), n) for name in LATENTS]
    return Latents(np.arange(n) * 0.02, np.stack(columns, axis=1).astype(float))


def point(body, name, at=0):
    return body.keypoints[at, KEYPOINTS.index(name)]


def test_left_is_left_and_nose_is_ahead():
    body = articulate(Subject(), still())
    assert point(body, "nose")[0] > point(body, "neck")[0] > point(body, "tail_tip")[0]
    for part in ("ear", "forepaw", "hindpaw"):
        assert point(body, f"left_{part}")[1] > 0 > point(body, f"right_{part}")[1]


def test_rearing_lifts_nose_and_forepaws_but_not_hindpaws():
    stand, rear = articulate(Subject(), still()), articulate(Subject(), still(rearing=1.0))
    for name in ("nose", "left_forepaw", "right_forepaw"):
        assert point(rear, name)[2] > point(stand, name)[2] + 3
    assert point(rear, "left_hindpaw")[2] < 0.5


def test_grooming_brings_the_forepaws_to_the_snout():
    stand, groom = articulate(Subject(), still()), articulate(Subject(), still(grooming=1.0))

    def gap(body):
        return np.linalg.norm(point(body, "nose") - point(body, "left_forepaw"))

    assert gap(groom) < 2.0 < gap(stand)


def test_paws_in_stance_do_not_slide():
    n, speed, stride = 200, 10.0, 5.0
    times = np.arange(n) * 0.02
    latents = still(
        n, x=speed * times, speed=speed, gait=1.0, gait_phase=2 * np.pi * speed * times / stride
    )
    paw = articulate(Subject(), latents).keypoints[:, KEYPOINTS.index("left_hindpaw")]
    down = (paw[:-1, 2] < 0.201) & (paw[1:, 2] < 0.201)
    assert 0.45 < down.mean() < 0.65
    assert np.abs(np.diff(paw[:, 0])[down]).max() / 0.02 < 0.15 * speed


def test_size_and_place_carry_over():
    small = articulate(Subject(scale=1.0), still()).keypoints
    large = articulate(Subject(scale=1.3), still(x=3.0, y=-2.0)).keypoints
    np.testing.assert_allclose(large, 1.3 * small + [3.0, -2.0, 0.0])


def test_heading_turns_the_whole_body():
    ahead = articulate(Subject(), still(rearing=0.4)).keypoints
    turned = articulate(Subject(), still(rearing=0.4, heading=np.pi / 2)).keypoints
    np.testing.assert_allclose(turned[..., 0], -ahead[..., 1], atol=1e-9)
    np.testing.assert_allclose(turned[..., 1], ahead[..., 0], atol=1e-9)


@pytest.mark.parametrize("posture", [{}, {"rearing": 1.0}, {"grooming": 1.0}, {"crouching": 1.0}])
def test_axes_are_orthogonal_and_nothing_sinks_below_the_floor(posture):
    body = articulate(Subject(), still(3, **posture))
    gram = body.axes.swapaxes(-1, -2) @ body.axes
    off = gram - gram * np.eye(3)
    assert np.abs(off).max() < 1e-9
    assert body.keypoints[..., 2].min() > 0
    assert np.isfinite(body.centres).all()
