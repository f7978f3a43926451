"""What a run learns from video without labels: clips of it, and what its poses must look like."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from tinbergen.errors import DataError
from tinbergen.nn.augment import Transforms
from tinbergen.pose.augment import move_back
from tinbergen.pose.clips import Clips
from tinbergen.pose.config import PoseConfig
from tinbergen.pose.labels import LabelledImages
from tinbergen.pose.video_losses import VIEW_DIMENSIONS, Plane, temporal_loss
from tinbergen.pose.views import views_by_ending
from tinbergen.training import numpy_generator

_USUALLY_LABELLED = 0.8


class Unlabelled:
    """Losses on clips; all distances in px of the image files.

    Parameters
    ----------
    config
        The run's settings.
    images
        The labelled images.
    train
        Rows of those to train on: they say which poses are possible.
    clips
        Unlabelled video.

    Raises
    ------
    DataError
        If there are too few labels to know which poses are possible, or no part has all views.
    """

    def __init__(
        self, config: PoseConfig, images: LabelledImages, train: np.ndarray, clips: Clips
    ):
        self.config, self.settings, self.clips = config, config.unlabelled, clips
        corners = np.array([[0.0, 0.0], [1.0, 0.0]])
        scales = [np.ptp(g.to_output(corners)[:, 0]) for g in images.geometries]
        self.scale = float(np.median(scales))  # px of what is seen per px of the files
        positions = images.seen_positions()[train] / self.scale
        self.planes: dict[str, Plane] = {}
        if self.settings.pca_singleview:
            columns, what = self._usual(positions), "unlabelled.pca_singleview"
            self.planes["pca_singleview"] = Plane.fit(positions, columns, None, what)
        if self.settings.pca_multiview and self.settings.views:
            columns, what = self._views(), "unlabelled.pca_multiview"
            self.planes["pca_multiview"] = Plane.fit(positions, columns, VIEW_DIMENSIONS, what)

    def _usual(self, positions: np.ndarray) -> np.ndarray:
        """Find maps of keypoints that are there in most frames, ``(individual, keypoint)``."""
        n_keypoints = len(self.config.keypoints)
        labelled = np.isfinite(positions).all(axis=-1).reshape(len(positions), -1, n_keypoints)
        usual = np.flatnonzero((labelled.mean(axis=0) >= _USUALLY_LABELLED).all(axis=0))
        if not len(usual):
            raise DataError(
                "unlabelled.pca_singleview: expected keypoints that are labelled in at least "
                f"{_USUALLY_LABELLED:.0%} of the images, found none among {n_keypoints}. Label "
                "more, or leave this loss out: --set unlabelled.pca_singleview=0."
            )
        first = np.arange(len(self.config.individuals))[:, None] * n_keypoints
        return first + usual

    def _views(self) -> np.ndarray:
        """Find the maps of each part in its views, ``(individual * part, view)``."""
        names = self.config.keypoints
        groups = views_by_ending(names, self.settings.views)
        parts = np.array([[names.index(name) for name in group] for group in groups])
        first = np.arange(len(self.config.individuals)) * len(names)
        return (first[:, None, None] + parts).reshape(-1, parts.shape[1])

    def draw(self, step: int, salt: int) -> dict[str, Any]:
        """Choose the clips of a step; nothing before their losses begin.

        Parameters
        ----------
        salt
            Anything that differs between processes that work on the same step.
        """
        ramp = self.settings.ramp(step, self.config.train.steps)
        if not ramp:
            return {}
        n = min(self.settings.batch, len(self.clips))
        rng = numpy_generator(self.config.train.seed, "unlabelled", step, salt)
        rows = np.sort(rng.choice(len(self.clips), n, replace=False))
        # All clips' first frames, then all their second frames.
        found = {"frames": np.concatenate([*self.clips.frames[rows].swapaxes(0, 1)])}
        if self.clips.backgrounds is not None:
            found["background"] = np.tile(
                self.clips.backgrounds[rows], (self.settings.frames, 1, 1, 1)
            )
        return {**found, "ramp": np.float32(ramp)}

    def losses(
        self, positions: Tensor, confidence: Tensor, transforms: Transforms, swap: Tensor
    ) -> dict[str, Tensor]:
        """Weighted losses of predictions on the frames of :meth:`draw`.

        Parameters
        ----------
        positions
            ``(frame, map, 2)``, px of the augmented frames.
        confidence
            ``(frame, map)``.
        transforms, swap
            How the frames were augmented; see :func:`~tinbergen.pose.augment.move_keypoints`.
        """
        settings = self.settings
        whole = move_back(positions, transforms, swap) / self.scale
        by_time = whole.unflatten(0, (settings.frames, -1))
        found = {}
        if settings.temporal:
            sure = confidence.detach().unflatten(0, (settings.frames, -1))
            jumps = temporal_loss(by_time, sure, settings.jump)
            found["temporal"] = settings.temporal * jumps
        for name, plane in self.planes.items():
            found[name] = getattr(settings, name) * plane.loss(whole)
        return found
