"""Keypoints stay on the pixels they name, whatever is drawn."""

import numpy as np
import pytest
import torch
from spots import picture

from tinbergen.nn.augment import warp
from tinbergen.pose.augment import PoseAugmentation, mirror_names, move_keypoints

HARD = PoseAugmentation(rotation=40, scale=0.2, shift=0.05, flip=0.5)


def middle(image: np.ndarray, gray: float) -> np.ndarray:
    """Centre of mass of what is brighter than ``gray``, (x, y)."""
    weight = np.clip(image.astype(float) - gray, 0, None)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


def test_keypoints_follow_their_pixels():
    places = np.array([[45.3, 28.6], [30.0, 35.0]])
    image = torch.from_numpy(picture(places))[None, None].repeat(24, 1, 1, 1)
    transforms = HARD.draw(24, (60, 80), torch.Generator().manual_seed(1))
    moved = move_keypoints(
        torch.tensor(places, dtype=torch.float32).repeat(24, 1, 1), transforms, torch.arange(2)
    )
    warped = warp(image, transforms)
    assert transforms.mirrored.any()
    assert not transforms.mirrored.all()
    for seen, points in zip(warped, moved, strict=True):
        assert np.abs(middle(seen[0].numpy(), 140) - points[0].numpy()).max() < 0.15


def test_a_mirror_exchanges_left_and_right():
    always = PoseAugmentation(rotation=0, scale=0, shift=0, flip=1)
    transforms = always.draw(1, (60, 80), torch.Generator().manual_seed(0))
    points = torch.tensor([[[10.0, 5.0], [20.0, 6.0], [30.0, 7.0]]])
    swap = torch.tensor(mirror_names(("nose", "left_ear", "right_ear")))
    moved = move_keypoints(points, transforms, swap)
    assert moved.tolist() == [[[69, 5], [49, 7], [59, 6]]]


def test_missing_keypoints_stay_missing():
    transforms = HARD.draw(3, (60, 80), torch.Generator().manual_seed(0))
    points = torch.full((3, 2, 2), float("nan"))
    points[:, 0] = 20.0
    moved = move_keypoints(points, transforms, torch.arange(2))
    assert moved[:, 0].isfinite().all()
    assert moved[:, 1].isnan().all()


def test_draws_depend_on_the_generator_alone():
    one, two = (HARD.draw(4, (60, 80), torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one.sampling, two.sampling)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("paw_l", "paw_r"), [1, 0]),
        (("LHip", "RHip", "nose"), [1, 0, 2]),
        (("paw1LH_top", "paw2LF_top", "paw3RF_top", "paw4RH_top"), [0, 1, 2, 3]),
        (("a/left", "a/right", "b/left", "b/right"), [1, 0, 3, 2]),
        (("tail", "rail"), [0, 1]),
        (("leftear",), [0]),
    ],
)
def test_names_of_counterparts(names, expected):
    assert mirror_names(names) == expected
