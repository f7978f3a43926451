"""The sets of features that can be asked for, each computed from filled positions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from tinbergen.actions.kinematics import (
    angles,
    direction,
    ego_aligned,
    motion_energy,
    pairwise_distances,
    speed,
    turning,
    velocity,
)
from tinbergen.actions.social import social_motion, social_pair
from tinbergen.errors import ConfigError

if TYPE_CHECKING:
    from tinbergen.actions.features import FeatureConfig

FeatureSet = Literal[
    "positions",
    "ego",
    "distances",
    "angles",
    "speed",
    "heading",
    "energy",
    "missing",
    "social",
    "social_motion",
]


@dataclass(frozen=True, eq=False)
class Animals:
    """Filled positions ``(time, individual, keypoint, space)``, what was seen, and the names."""

    positions: np.ndarray
    seen: np.ndarray
    individuals: tuple[str, ...]
    keypoints: tuple[str, ...]
    config: FeatureConfig

    def part(self, what: Literal["front", "middle", "back"]) -> int:
        """Return the index of a keypoint that has a part to play."""
        name = getattr(self.config, what)
        if name is not None:
            return index_of(name, self.keypoints, what)
        last = len(self.keypoints) - 1
        return {"front": 0, "middle": last // 2, "back": last}[what]

    def named(
        self, per_animal: Callable[[int], Mapping[str, np.ndarray]]
    ) -> dict[str, np.ndarray]:
        """Compute for each animal, under its name where there are several."""
        found = {}
        for i, who in enumerate(self.individuals):
            prefix = f"{who}/" if len(self.individuals) > 1 else ""
            found |= {prefix + name: values for name, values in per_animal(i).items()}
        return found


def _positions(animals: Animals) -> dict[str, np.ndarray]:
    return animals.named(lambda i: _coordinates(animals.positions[:, i], animals.keypoints, ""))


def _ego(animals: Animals) -> dict[str, np.ndarray]:
    origin, front = animals.part("middle"), animals.part("front")
    _differ(animals, "middle", "front")
    return animals.named(
        lambda i: _coordinates(
            ego_aligned(animals.positions[:, i], origin, front), animals.keypoints, "ego "
        )
    )


def _distances(animals: Animals) -> dict[str, np.ndarray]:
    def of(i: int) -> dict[str, np.ndarray]:
        values, pairs = pairwise_distances(animals.positions[:, i])
        names = [f"{animals.keypoints[a]}-{animals.keypoints[b]}" for a, b in pairs]
        return dict(zip(names, values.T, strict=True))

    return animals.named(of)


def _angles(animals: Animals) -> dict[str, np.ndarray]:
    names = animals.config.chain
    parts: Sequence[Literal["front", "middle", "back"]] = ("front", "middle", "back")
    if names is None:
        chain = [animals.part(what) for what in parts]
    else:
        chain = [index_of(name, animals.keypoints, "chain") for name in names]
    if len(chain) < 3:
        raise ConfigError(f"features.chain: expected three keypoints or more, found {names}.")

    def of(i: int) -> dict[str, np.ndarray]:
        values = angles(animals.positions[:, i], chain)
        return {
            f"angle {animals.keypoints[k]}": v for k, v in zip(chain[1:-1], values.T, strict=True)
        }

    return animals.named(of)


def _speed(animals: Animals) -> dict[str, np.ndarray]:
    names = [f"speed {name}" for name in animals.keypoints]
    return animals.named(lambda i: dict(zip(names, speed(animals.positions[:, i]).T, strict=True)))


def _heading(animals: Animals) -> dict[str, np.ndarray]:
    front, middle, back = (animals.part(what) for what in ("front", "middle", "back"))
    _differ(animals, "back", "front")

    def of(i: int) -> dict[str, np.ndarray]:
        flat = animals.positions[:, i, :, :2]
        heading = direction(flat[:, back], flat[:, front])
        step = velocity(flat[:, middle])
        aside = step[:, 0] * heading[:, 1] - step[:, 1] * heading[:, 0]
        return {"ahead": (step * heading).sum(axis=1), "aside": aside, "turning": turning(heading)}

    return animals.named(of)


def _energy(animals: Animals) -> dict[str, np.ndarray]:
    return animals.named(
        lambda i: _coordinates(
            motion_energy(animals.positions[:, i]), animals.keypoints, "energy "
        )
    )


def _missing(animals: Animals) -> dict[str, np.ndarray]:
    return animals.named(lambda i: {"missing": 1.0 - animals.seen[:, i].mean(axis=1)})


def _social(animals: Animals) -> dict[str, np.ndarray]:
    parts = _two(animals, "social")
    return social_pair(animals.positions[..., :2], *parts, 1.0 - animals.seen.mean(axis=2))


def _social_motion(animals: Animals) -> dict[str, np.ndarray]:
    parts = _two(animals, "social_motion")
    return social_motion(animals.positions[..., :2], animals.seen, *parts)


def _two(animals: Animals, name: str) -> tuple[int, int, int]:
    if len(animals.individuals) != 2:
        raise ConfigError(
            f"features.sets: {name!r} is about two animals, found {len(animals.individuals)}; "
            "choose two with features.individuals."
        )
    _differ(animals, "back", "front")
    return animals.part("front"), animals.part("middle"), animals.part("back")


SETS: dict[FeatureSet, Callable[[Animals], dict[str, np.ndarray]]] = {
    "positions": _positions,
    "ego": _ego,
    "distances": _distances,
    "angles": _angles,
    "speed": _speed,
    "heading": _heading,
    "energy": _energy,
    "missing": _missing,
    "social": _social,
    "social_motion": _social_motion,
}
"""What computes each set: name -> ``(time,)`` values of the animals."""


def _coordinates(
    positions: np.ndarray, keypoints: Sequence[str], prefix: str
) -> dict[str, np.ndarray]:
    return {
        f"{prefix}{name} {axis}": positions[:, k, a]
        for k, name in enumerate(keypoints)
        for a, axis in enumerate("xyz"[: positions.shape[2]])
    }


def index_of(name: str, names: Sequence[str], what: str) -> int:
    """Return where a keypoint or an individual stands; refuse one that there is not."""
    if name not in names:
        raise ConfigError(f"features.{what}: there is no {name!r}; there is: {', '.join(names)}.")
    return list(names).index(name)


def _differ(animals: Animals, first: str, second: str) -> None:
    if animals.part(first) == animals.part(second):  # type: ignore[arg-type]
        raise ConfigError(
            f"features.{second} and features.{first} are one keypoint "
            f"({animals.keypoints[animals.part(first)]!r}), so there is no heading; "  # type: ignore
            "name two, or leave out the sets ego, heading and social."
        )
