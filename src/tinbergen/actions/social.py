"""What two animals do with each other, whichever of the two is which."""

from __future__ import annotations

import numpy as np

from tinbergen.actions.kinematics import direction, speed, turning, velocity


def social_pair(
    positions: np.ndarray, front: int, middle: int, back: int, missing: np.ndarray
) -> dict[str, np.ndarray]:
    """Describe two animals by features that do not change when their names are swapped.

    What each animal has is given as the lower and the higher (``_lo``, ``_hi``) of the two.

    Parameters
    ----------
    positions
        ``(time, 2, keypoint, 2)`` px, gaps filled.
    front, middle, back
        Keypoints: head (or the front-most), body, tail base.
    missing
        ``(time, 2)`` share of the keypoints that were not seen.

    Returns
    -------
    Name -> ``(time,)``: steps of body and head (px/frame); distances between the animals, of like
    parts, head to tail and head to body (px); length of each (px); cosines of the two headings,
    and of each heading with the way to the other's body; change of the distance of the bodies
    (px/frame); missing shares.
    """
    head, body, tail = (positions[:, :, part] for part in (front, middle, back))
    heading = direction(tail, head)
    towards = direction(body[:, 0], body[:, 1])
    ways = np.stack([towards, -towards], axis=1)
    apart = _apart(body[:, 0], body[:, 1])
    found: dict[str, np.ndarray] = {}
    _both(found, "body_speed", speed(body))
    _both(found, "front_speed", speed(head))
    found["front_front"] = _apart(head[:, 0], head[:, 1])
    found["middle_middle"] = apart
    found["back_back"] = _apart(tail[:, 0], tail[:, 1])
    _both(found, "front_back", _apart(head, tail[:, ::-1]))
    _both(found, "front_middle", _apart(head, body[:, ::-1]))
    _both(found, "length", _apart(head, tail))
    found["headings"] = (heading[:, 0] * heading[:, 1]).sum(axis=1)
    _both(found, "facing", (heading * ways).sum(axis=2))
    found["approach"] = velocity(apart)
    _both(found, "missing", missing)
    return found


def social_motion(
    positions: np.ndarray, seen: np.ndarray, front: int, middle: int, back: int
) -> dict[str, np.ndarray]:
    """Describe how two animals move relative to each other, and how close any two parts come.

    Parameters
    ----------
    positions, front, middle, back
        See :func:`social_pair`.
    seen
        ``(time, 2, keypoint)`` bool: which positions were tracked, not filled.

    Returns
    -------
    Name -> ``(time,)``: step of each animal towards and past the other, and ahead along its own
    heading (px/frame); turning (radians/frame); distance of the nearest parts that were seen (px,
    NaN where an animal was not seen at all); extent of each animal (px); whether each was seen.
    """
    body = positions[:, :, middle]
    heading = direction(positions[:, :, back], positions[:, :, front])
    towards = direction(body[:, 0], body[:, 1])
    ways = np.stack([towards, -towards], axis=1)
    steps = velocity(body)
    closing = (steps * ways).sum(axis=2)
    found: dict[str, np.ndarray] = {}
    _both(found, "closing", closing)
    _both(found, "passing", np.abs(steps[..., 0] * ways[..., 1] - steps[..., 1] * ways[..., 0]))
    _both(found, "ahead", (steps * heading).sum(axis=2))
    _both(found, "turning", np.stack([np.abs(turning(h)) for h in heading.swapaxes(0, 1)], axis=1))
    tracked = np.where(seen[..., None], positions, np.nan)
    between = _apart(tracked[:, 0, :, None], tracked[:, 1, None, :]).reshape(len(body), -1)
    found["nearest"] = np.where(np.isfinite(between), between, np.inf).min(axis=1)
    found["nearest"][np.isinf(found["nearest"])] = np.nan
    centre = positions.mean(axis=2, keepdims=True)
    _both(found, "extent", np.linalg.norm(positions - centre, axis=-1).mean(axis=2))
    _both(found, "seen", seen.any(axis=2).astype(float))
    return found


def _apart(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.linalg.norm(first - second, axis=-1)


def _both(found: dict[str, np.ndarray], name: str, values: np.ndarray) -> None:
    """Add ``(time, animal)`` values as the lower and the higher of the two."""
    ordered = np.sort(values, axis=1)
    found[f"{name}_lo"], found[f"{name}_hi"] = ordered[:, 0], ordered[:, 1]
