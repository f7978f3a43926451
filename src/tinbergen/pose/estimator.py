"""The verbs of every model here: ``fit``, ``predict``, ``score``, ``save``, ``load``."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from tinbergen.errors import NotFittedError, OutputError
from tinbergen.files import ensure_output_folder, explain_os_errors
from tinbergen.pose.labels import Labels, Split
from tinbergen.recordings import FrameSource, Keypoints, Video
from tinbergen.training import RunFolder


class PoseEstimator:
    """Keypoints from labelled frames, as an object.

    :func:`train`, :func:`predict` and :func:`evaluate` do the same with run folders.

    Parameters
    ----------
    backbone, keypoints, validation, test
        See :func:`tinbergen.pose.train`.
    settings
        Nested settings of :class:`PoseConfig`.
    random_state
        Seed of everything that is drawn.
    device, precision
        As :class:`~tinbergen.training.TrainConfig` has them.

    Attributes
    ----------
    run_
        The run folder of the fit; a temporary one until :meth:`save`.

    Examples
    --------
    >>> pose = PoseEstimator(random_state=0).fit("project")       # doctest: +SKIP
    >>> pose.predict("session.mp4").of("nose").shape              # doctest: +SKIP
    (994, 2)
    """

    run_: RunFolder

    def __init__(
        self,
        *,
        backbone: str | os.PathLike | None = None,
        keypoints: Sequence[str] | None = None,
        validation: float = 0.1,
        test: float = 0.0,
        settings: Mapping[str, Any] | None = None,
        random_state: int = 0,
        device: str = "auto",
        precision: str = "auto",
    ):
        self.backbone = backbone
        self.keypoints = keypoints
        self.validation = validation
        self.test = test
        self.settings = settings
        self.random_state = random_state
        self.device = device
        self.precision = precision

    def fit(
        self,
        labels: Labels | Sequence[Labels],
        *,
        videos: Any = None,
        split: Split | None = None,
    ) -> Self:
        """Learn from labelled frames; see :func:`tinbergen.pose.train`."""
        from tinbergen.configuration import merge
        from tinbergen.pose.fitting import train

        hardware = {"device": self.device, "precision": self.precision}
        overrides = merge({"train": {"seed": self.random_state, **hardware}}, self.settings or {})
        self._forget()
        self._folder = tempfile.TemporaryDirectory(prefix="tinbergen-pose-")
        self.run_ = train(
            labels,
            Path(self._folder.name) / "run",
            backbone=self.backbone,
            videos=videos,
            keypoints=self.keypoints,
            split=split,
            validation=self.validation,
            test=self.test,
            overrides=overrides,
        )
        return self

    def predict(self, video: FrameSource | str | os.PathLike) -> Keypoints:
        """Return keypoints on the video's own frame times, px of its own frames.

        Raises
        ------
        NotFittedError
            Before :meth:`fit` or :meth:`load`.
        """
        from tinbergen.pose.prediction import Predictor

        if not hasattr(self, "_predictor"):
            options = {"device": self.device, "precision": self.precision}
            self._predictor = Predictor(self._run(), **options)
        source = video if isinstance(video, FrameSource) else Video(video)
        return self._predictor.video(source)

    def score(self, labels: Labels | Sequence[Labels], *, part: str | None = None) -> float:
        """Return minus the mean distance to the labels, px, so that more is better.

        For ``part``, intervals and baselines see :func:`tinbergen.pose.evaluate`.
        """
        from tinbergen.pose.evaluation import evaluate

        options = {"device": self.device, "precision": self.precision}
        found = evaluate(self._run(), labels, part=part, out=False, **options)  # type: ignore[arg-type]
        return -float(np.nanmean(found.distances))

    def save(self, path: str | os.PathLike) -> Path:
        """Copy the run folder to ``path``, where it is read by :meth:`load` and every command.

        Raises
        ------
        OutputError
            If there is something at ``path`` already.
        """
        target = Path(path)
        if target.exists():
            raise OutputError(f"{target} already exists. Choose another folder.")
        ensure_output_folder(target.parent)
        with explain_os_errors(target):
            building = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
            try:
                shutil.copytree(self._run().path, building, dirs_exist_ok=True)
                os.replace(building, target)
            except BaseException:
                shutil.rmtree(building, ignore_errors=True)
                raise
        return target

    @classmethod
    def load(
        cls, path: str | os.PathLike, *, device: str = "auto", precision: str = "auto"
    ) -> Self:
        """Open a finished run.

        Raises
        ------
        MissingFileError
            If there is none at ``path``.
        """
        run = RunFolder.open(path)
        config = run.config
        made = cls(
            keypoints=config["keypoints"],
            random_state=config["train"]["seed"],
            device=device,
            precision=precision,
        )
        made.run_ = run
        return made

    def _run(self) -> RunFolder:
        if not hasattr(self, "run_"):
            raise NotFittedError("This PoseEstimator is not fitted yet; call fit, or load a run.")
        return self.run_

    def _forget(self) -> None:
        for name in ("run_", "_predictor", "_folder"):
            if hasattr(self, name):
                delattr(self, name)
