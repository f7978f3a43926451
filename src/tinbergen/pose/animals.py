"""How several animals in view are found, and what that needs to know of their labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field
from scipy.sparse.csgraph import minimum_spanning_tree

from tinbergen.configuration import Config
from tinbergen.errors import ConfigError, DataError
from tinbergen.metrics.instances import present
from tinbergen.recordings import LabelledFrames

_BOTTOM_UP_PX = 48  # of the network's image per animal: legs of a fly are still seen
_LEAST_LONGEST = 256  # px; below, little time is gained
_CENTRE_PX = 20  # the same where only its centre is looked for
_LARGEST_CROP = 160
_CROP_MARGIN = 1.25
_COMFORTABLE_PX = 12  # a limb shorter than three pixels of a map has no clear direction


class AnimalsConfig(Config):
    """What to do about several animals; what is not given is chosen from the labels."""

    route: Literal["identity", "top_down", "bottom_up"] = "identity"
    """``identity``: each individual has heat maps of its own, for animals that can be told apart
    by their looks. For look-alikes: ``top_down`` finds centres in a small image, and keypoints in
    a crop around each; ``bottom_up`` finds all keypoints at once, and joins them to animals along
    the limbs between them (part affinity fields)."""
    skeleton: tuple[tuple[str, str], ...] = ()
    """Limbs, pairs of keypoints, for ``bottom_up``."""
    crop: int = Field(default=128, ge=32, multiple_of=32)
    """Side of the square around an animal, px of the image that the network sees."""
    shrink: Literal[1, 2, 4, 8, 16] = 1
    """Centres are looked for in an image smaller by this factor."""
    threshold: float = Field(default=0.2, gt=0, lt=1)
    """Least probability of a keypoint (``bottom_up``) or a centre (``top_down``)."""


ANIMALS_TRAINING: dict[str, Any] = {
    "augment": {"rotation": 180.0},
    "train": {"batch_size": 6},
}
"""Animals head anywhere; images are larger, and each holds several examples."""


def animal_choices(
    route: str,
    positions: np.ndarray,
    size: tuple[int, int],
    keypoints: Sequence[str],
    scale: float | None = None,
) -> dict[str, Any]:
    """Choose the settings of a route from labels.

    Parameters
    ----------
    positions
        ``(frame, individual, keypoint, 2)`` px of the image files; NaN = not labelled.
    size
        ``(height, width)`` of the image files, or of the part of them that is used, px.
    scale
        Pixels that the network sees per pixel of the image files; default: chosen too.

    Returns
    -------
    dict
        Nested settings of :class:`~tinbergen.pose.PoseConfig`.
    """
    extent = _extents(positions)
    longest = max(size)
    names = {"individuals": [f"animal{i}" for i in range(positions.shape[1])]}
    if route == "bottom_up":
        if scale is None:
            least = _LEAST_LONGEST / longest
            scale = min(1.0, max(_BOTTOM_UP_PX / float(np.median(extent)), least))
        limbs = spanning_skeleton(positions, _COMFORTABLE_PX / scale)
        skeleton = [[keypoints[i], keypoints[j]] for i, j in limbs]
        return {**names, "longest": round(longest * scale), "animals": {"skeleton": skeleton}}
    crop = _CROP_MARGIN * np.quantile(extent, 0.99)
    if scale is None:
        scale = min(1.0, _LARGEST_CROP / float(crop))
    shrink = 2 ** int(np.clip(np.log2(np.median(extent) * scale / _CENTRE_PX), 0, 4))
    side = max(32, 32 * int(np.ceil(crop * scale / 32)))
    choices = {"crop": side, "shrink": shrink}
    return {**names, "longest": round(longest * scale), "animals": choices}


def _extents(positions: np.ndarray) -> np.ndarray:
    """Longer side of the box around each labelled animal, ``(n,)`` px."""
    animals = positions.reshape(-1, *positions.shape[2:])
    animals = animals[present(animals)]
    return np.maximum((np.nanmax(animals, axis=1) - np.nanmin(animals, axis=1)).max(axis=-1), 1.0)


def spanning_skeleton(positions: np.ndarray, comfortable: float) -> list[tuple[int, int]]:
    """Return limbs along which every keypoint hangs on its animal in two ways.

    Two minimum spanning trees without a common limb, of the mean lengths: short limbs are found
    most surely, and the second tree holds an animal together where a keypoint is hidden.

    Parameters
    ----------
    positions
        ``(frame, individual, keypoint, 2)`` px; NaN = not labelled.
    comfortable
        Length below which a limb is the worse the shorter it is, px: it has no clear direction.
    """
    flat = positions.reshape(-1, *positions.shape[2:])
    n = flat.shape[1]
    cost = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1, n):
            lengths = np.linalg.norm(flat[:, i] - flat[:, j], axis=-1)
            known = lengths[np.isfinite(lengths)]
            length = max(known.mean(), 1e-3) if len(known) else 0.0
            cost[i, j] = max(length, comfortable**2 / length) if length else 0.0
    limbs: list[tuple[int, int]] = []
    for _ in range(2):
        tree = minimum_spanning_tree(cost).toarray()
        found = [(int(i), int(j)) for i, j in np.argwhere(tree > 0)]
        limbs += found
        for i, j in found:
            cost[i, j] = 0.0
    return sorted(limbs)


def check_animals(config: AnimalsConfig, labels: LabelledFrames, backbone: bool) -> None:
    """Refuse what the routes for look-alikes cannot do.

    Raises
    ------
    ConfigError
        For a skeleton of other keypoints, a single keypoint, or a backbone.
    DataError
        If nothing is labelled.
    """
    if backbone:
        raise ConfigError(
            f"animals.route={config.route}: expected no backbone, found one; this route has the "
            "convolutional network. Leave --backbone out, or take animals.route=identity."
        )
    if len(labels.keypoints) < 2:
        raise ConfigError(
            f"animals.route={config.route}: expected two keypoints or more, which show how large "
            f"an animal is, found {', '.join(labels.keypoints) or 'none'}. Label another one, or "
            "take animals.route=identity."
        )
    for limb in config.skeleton:
        if unknown := [name for name in limb if name not in labels.keypoints]:
            raise ConfigError(
                f"animals.skeleton: no keypoint {unknown[0]!r} in the labels; they have "
                f"{', '.join(labels.keypoints)}."
            )
    if not np.isfinite(labels.positions).all(axis=-1).any():
        raise DataError("None of the frames has a label.")
