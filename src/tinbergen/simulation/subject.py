"""What an animal looks like."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Subject:
    """What one animal looks like.

    Attributes
    ----------
    name
        Name of the animal.
    scale
        Size relative to a mouse whose head and trunk measure about 9 cm.
    girth, ears, tail
        Thickness of the trunk, size of the ears and length of the tail, each relative to normal.
    coat, second_coat, skin
        Red, green, blue in [0, 1]: the fur, its other colour, and ears, paws and tail.
    pattern
        ``solid``, ``hooded`` (head and shoulders in ``coat``, the rest in ``second_coat``) or
        ``patched``.
    belly
        How much lighter the underside is, in [0, 1].
    fur
        Contrast of the fur's texture.
    texture_seed
        Seed of the fur's texture and patches.
    """

    name: str = "mouse"
    scale: float = 1.0
    girth: float = 1.0
    ears: float = 1.0
    tail: float = 1.0
    coat: tuple[float, float, float] = (0.33, 0.27, 0.22)
    second_coat: tuple[float, float, float] = (0.85, 0.83, 0.8)
    skin: tuple[float, float, float] = (0.75, 0.57, 0.52)
    pattern: str = "solid"
    belly: float = 0.4
    fur: float = 0.2
    texture_seed: int = 0


_COATS = (
    (0.12, 0.11, 0.11),
    (0.36, 0.29, 0.23),
    (0.86, 0.85, 0.82),
    (0.5, 0.47, 0.45),
    (0.62, 0.47, 0.32),
)


def random_subject(name: str, generator: np.random.Generator) -> Subject:
    """Draw an animal that differs from the others in size, proportions and coat."""
    first, second = generator.choice(len(_COATS), size=2, replace=False)
    tint = generator.normal(0, 0.02, 3)
    return Subject(
        name=name,
        scale=float(generator.uniform(0.82, 1.2)),
        girth=float(generator.uniform(0.9, 1.2)),
        ears=float(generator.uniform(0.8, 1.25)),
        tail=float(generator.uniform(0.8, 1.15)),
        coat=_colour(np.array(_COATS[first]) + tint),
        second_coat=_colour(np.array(_COATS[second]) + tint),
        skin=_colour(np.array([0.72, 0.55, 0.5]) * generator.uniform(0.6, 1.15)),
        pattern=str(generator.choice(["solid", "solid", "hooded", "patched"])),
        belly=float(generator.uniform(0.1, 0.6)),
        fur=float(generator.uniform(0.12, 0.28)),
        texture_seed=int(generator.integers(2**31)),
    )


def _colour(values: np.ndarray) -> tuple[float, float, float]:
    red, green, blue = np.clip(values, 0.05, 0.95).tolist()
    return red, green, blue
