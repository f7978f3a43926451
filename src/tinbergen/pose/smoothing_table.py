"""Smoothed keypoints as a table, in the columns of EKS."""

from __future__ import annotations

import csv
import itertools
import os
from collections.abc import Sequence

import numpy as np

from tinbergen.errors import DataError
from tinbergen.files import atomic_write
from tinbergen.pose.smoothing import Smoothed

_FIELDS = (
    *("x", "y", "likelihood", "x_ens_median", "y_ens_median", "x_ens_var", "y_ens_var"),
    *("x_posterior_var", "y_posterior_var"),
)


def write_smoothed(
    path: str | os.PathLike, result: Smoothed, *, scorer: str = "tinbergen_smoothed"
) -> None:
    """Write a table of smoothed keypoints, a row a frame, numbered from 0.

    Columns of each keypoint are those of EKS: ``x, y, likelihood, x_ens_median, y_ens_median,
    x_ens_var, y_ens_var, x_posterior_var, y_posterior_var`` (px and px^2). Missing is empty.
    """
    keypoints, ensemble = result.keypoints, result.ensemble
    values = np.concatenate(
        [
            keypoints.positions[..., :2],
            keypoints.confidence[..., None],
            ensemble.median,
            ensemble.variance,
            result.variance,
        ],
        axis=-1,
    )
    people, parts = keypoints.individuals, keypoints.keypoints
    columns = list(itertools.product([scorer], people, parts, _FIELDS))
    with atomic_write(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        for level, name in enumerate(("scorer", "individuals", "bodyparts", "coords")):
            if name != "individuals" or len(people) > 1:
                writer.writerow([name, *(column[level] for column in columns)])
        for number, row in enumerate(values.reshape(len(values), -1).tolist()):
            writer.writerow([number, *("" if v != v else repr(v) for v in row)])


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
