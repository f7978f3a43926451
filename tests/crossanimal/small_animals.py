"""Small animals that act alike, look different and share no neuron."""

from __future__ import annotations

import numpy as np

from tinbergen.crossanimal import Animal

FAST = {
    "windows": {"neural": 5, "pose": 5},
    "network": {"input": 8, "hidden": 16, "output": 8, "members": 1},
    "train": {"steps": 30, "batch_size": 48, "device": "cpu"},
}


def make_animals(
    n: int = 3,
    frames: int = 200,
    neurons: int = 12,
    pose: int = 4,
    *,
    gap: float = 1.0,
    seed: int = 0,
    noise: float = 0.3,
) -> tuple[list[Animal], list[np.ndarray]]:
    """Return animals and the action (0 to 3) of each frame.

    The quadrant of a smooth two-dimensional latent is the action; a shared non-linear map makes
    the pose of it, which each animal scales and shifts by its own; neurons are tuned to places of
    the latent, drawn anew for each animal, and respond slowly.
    """  # fmt: skip
    shared = np.random.default_rng(99)
    first, second = shared.standard_normal((2, pose)), shared.standard_normal((pose, pose)) / 5
    animals, actions = [], []
    for i in range(n):
        rng = np.random.default_rng(1000 * seed + i)
        latent = np.cumsum(rng.standard_normal((frames + 50, 2)) * 0.25, axis=0)
        latent = np.sin(np.stack([np.convolve(c, np.ones(10) / 10, "same") for c in latent.T], 1))
        body = np.tanh(latent @ first) + 0.3 * np.sin(latent @ first @ second * 3)
        body = body * rng.uniform(1 - 0.2 * gap, 1 + 0.2 * gap, pose)
        body = body + gap * 0.5 * rng.standard_normal(pose)
        body = body + 0.05 * rng.standard_normal(body.shape)
        place = rng.uniform(-1, 1, (neurons, 2))
        rate = np.exp(-((latent[:, None] - place) ** 2).sum(2) / (2 * 0.4**2))
        decay = np.exp(-np.arange(24) / 8)
        calcium = np.stack([np.convolve(r, decay)[: len(rate)] for r in rate.T], 1)
        calcium = calcium / calcium.std(axis=0) + noise * rng.standard_normal(rate.shape)
        times = np.arange(frames) / 16
        keep = slice(50, None)
        animals.append(Animal(f"animal{i}", calcium[keep].astype(np.float32), times,
                              body[keep].astype(np.float32), times))  # fmt: skip
        actions.append(((latent[keep, 0] > 0) * 2 + (latent[keep, 1] > 0)).astype(int))
    return animals, actions
