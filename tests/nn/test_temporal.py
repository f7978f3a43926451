from typing import Any

import pytest
import torch

from tinbergen.nn.temporal import CoarseConvolutions, TemporalConvolutions


def seen(network, frames, at, inputs=3):
    """Frames whose input changes the output at one frame."""
    x = torch.randn(1, inputs, frames, requires_grad=True)
    network.eval()(x)[0, :, at].sum().backward()
    assert x.grad is not None
    return torch.nonzero(x.grad[0].abs().sum(dim=0)).ravel().tolist()


@pytest.mark.parametrize(
    ("taps", "blocks", "reach"), [(9, 2, 24), (9, 3, 56), (5, 2, 12), (17, 4, 240), (3, 5, 62)]
)
def test_an_output_depends_on_exactly_the_frames_within_reach(taps, blocks, reach):
    network = TemporalConvolutions(3, 8, [2**i for i in range(blocks)], taps=taps)
    assert network.reach == reach
    at = reach + 10
    assert seen(network, 2 * reach + 21, at) == list(range(at - reach, at + reach + 1))


@pytest.mark.parametrize(("inputs", "expected"), [(16, 33_254), (32, 37_318)])
def test_the_reference_shape_has_the_reference_number_of_parameters(inputs, expected):
    network = TemporalConvolutions(inputs, 32, (1, 2), normed=True)
    head = torch.nn.Conv1d(32, 6, 1)
    assert sum(p.numel() for part in (network, head) for p in part.parameters()) == expected


def test_frames_that_do_not_exist_change_nothing():
    network = TemporalConvolutions(3, 8, (1, 2)).eval()
    x = torch.randn(2, 3, 60)
    inside = torch.ones(2, 1, 60)
    inside[1, :, 40:] = 0
    whole = network(x, inside)
    torch.testing.assert_close(whole[0], network(x[:1])[0])
    torch.testing.assert_close(whole[1, :, :40], network(x[1:, :, :40])[0])


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_coarse_convolutions_see_no_further_than_they_say(stride):
    network: Any = CoarseConvolutions(3, 8, (1, 2), stride=stride)
    frames = 4 * network.reach
    for at in (2 * network.reach + shift for shift in range(stride)):
        found = seen(network, frames, at)
        assert min(found) >= at - network.reach
        assert max(found) <= at + network.reach
        assert len(found) > 1.5 * network.deep.reach * stride


def test_coarse_convolutions_keep_the_length():
    network = CoarseConvolutions(3, 8, (1,), stride=4)
    for frames in (1, 3, 4, 5, 101):
        assert network(torch.randn(2, 3, frames)).shape == (2, 8, frames)
