"""Random changes: exact where they are, of zero mean, and silent when they are off."""

import math

import pytest
import torch

from tinbergen.crossanimal import augment


def g(seed=0):
    return torch.Generator().manual_seed(seed)


def test_rotation_turns_rows():
    turned = torch.tensor([[1.0, 0.0]]) @ augment.rotation(torch.tensor(90.0))
    torch.testing.assert_close(turned, torch.tensor([[0.0, -1.0]]))
    x = torch.randn(2, 3, 4, 8)
    torch.testing.assert_close(augment.rotate(x, 0.0, 2, g()), x)
    turned = augment.rotate(x, 40.0, 2, g())
    lengths = x.unflatten(-1, (4, 2)).norm(dim=-1)
    torch.testing.assert_close(turned.unflatten(-1, (4, 2)).norm(dim=-1), lengths)
    deep = torch.randn(2, 3, 4, 9)
    torch.testing.assert_close(augment.rotate(deep, 40.0, 3, g())[..., 2::3], deep[..., 2::3])


def test_mirror_is_its_own_inverse():
    x, pairs = torch.randn(5, 8), torch.tensor([2, 1, 0, 3])
    once = augment.mirror(x, pairs, 2)
    assert not torch.equal(once, x)
    torch.testing.assert_close(augment.mirror(once, pairs, 2), x, rtol=0, atol=0)


def test_calcium_decays_from_the_start_of_the_window():
    x, other = torch.zeros(1, 1, 4, 2), torch.ones(1, 1, 2)
    times = torch.arange(4.0)[None, None]
    found = augment.calcium(x, other, times, 0.5, (2.0, 2.0), g())
    assert abs(found[0, 0, 0, 0]) <= 0.5
    half_life = 2.0 * math.log(2)
    expected = found[..., :1, :] * 0.5 ** (times[0, 0] / half_life)[:, None]
    torch.testing.assert_close(found, expected)
    unchanged = augment.calcium(x + 1, other, times, 0.0, (0.4, 1.5), g())
    torch.testing.assert_close(unchanged, x + 1)
    images = augment.calcium(torch.zeros(1, 1, 4, 3, 3), torch.ones(1, 1, 3, 3), times, 0.5,
                             (2.0, 2.0), g())  # fmt: skip
    torch.testing.assert_close(images[..., 0, 0], found[..., 0])


@pytest.mark.parametrize("change", ["noise", "gain", "scale", "drop", "calcium"])
def test_changes_keep_the_mean(change):
    x = torch.ones(200, 50, 3, 4)
    found = {
        "noise": lambda: augment.noise(x, 0.5, g()),
        "gain": lambda: augment.gain(x, 0.4, g()),
        "scale": lambda: augment.scale_columns(x, 0.4, g()),
        "drop": lambda: augment.kept_neurons((200, 150), 0.3, g()),
        "calcium": lambda: augment.calcium(
            x, torch.ones(200, 50, 4), torch.arange(3.0)[None, None], 0.5, (0.4, 1.5), g()
        ),
    }[change]()
    assert found.mean().item() == pytest.approx(1.0, abs=0.02)
    assert found.std() > 0.05


def test_masks_are_one_stretch_no_longer_than_asked():
    keep = augment.mask_stretch(20, 5, (500,), g())
    hidden = ~keep
    assert hidden.sum(dim=1).max() == 5
    assert hidden.sum(dim=1).min() == 0
    starts = (hidden[:, 1:] & ~hidden[:, :-1]).sum(dim=1) + hidden[:, 0]
    assert starts.max() == 1


def test_shifted_images_repeat_their_edge():
    x = torch.arange(16.0).view(1, 1, 1, 4, 4).expand(3, 2, 5, 4, 4)
    assert torch.equal(augment.shift_images(x, 0, g()), x)
    moved = augment.shift_images(x, 2, g(1))
    assert torch.equal(moved[:, :, 0], moved[:, :, 4])  # frames of a window move together
    assert set(moved.unique().tolist()) <= set(range(16))
