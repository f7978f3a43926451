"""Parts that are seen in several views, told by the endings of their names."""

from __future__ import annotations

from collections.abc import Sequence

from tinbergen.errors import DataError


def views_by_ending(names: Sequence[str], endings: Sequence[str]) -> list[list[str]]:
    """Find the parts that are seen in every view by the endings of their names.

    Parameters
    ----------
    names
        Of the keypoints.
    endings
        One a view, such as ``_top`` and ``_bot``.

    Raises
    ------
    DataError
        If no part has all of them.

    Examples
    --------
    >>> views_by_ending(["paw_top", "nose_top", "paw_bot"], ["_top", "_bot"])
    [['paw_top', 'paw_bot']]
    """
    first, *others = (ending.strip() for ending in endings)
    found = []
    for name in names:
        if first and name.endswith(first):
            stem = name.removesuffix(first)
            part = [name, *(stem + other for other in others)]
            if len(part) > 1 and all(each in names for each in part):
                found.append(part)
    if not found:
        raise DataError(
            f"No keypoint is there with each of the endings {', '.join(endings)}; keypoints: "
            f"{', '.join(names)}."
        )
    return found
