"""Smoothed keypoints as a table, in the columns of EKS."""

from __future__ import annotations

import csv
import itertools
import os

import numpy as np

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
