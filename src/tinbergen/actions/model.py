"""A finished model: from a recording to its bouts, with all that is needed in between."""

from __future__ import annotations

import importlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from tinbergen.actions.config import ActionConfig
from tinbergen.actions.data import check_matches
from tinbergen.actions.decoder import Decoder
from tinbergen.actions.ensembles import FoldEnsemble, entropy
from tinbergen.actions.features import Features, features_of
from tinbergen.actions.segmenter import Segmenter
from tinbergen.configuration import resolve
from tinbergen.errors import MissingFileError, WeightsError
from tinbergen.files import write_csv, write_json
from tinbergen.metrics.segments import bout_statistics, bouts
from tinbergen.recordings import Labels, Recording

SCHEMA_VERSION = 1
_FILE = "actions.json"


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says of a recording.

    Attributes
    ----------
    recording, classes
        Names.
    times
        ``(time,)`` s.
    probabilities
        ``(time, class)``, calibrated.
    codes
        ``(time,)`` int: classes after decoding.
    variance
        ``(time, class)`` between the members of an ensemble; None without one.
    """

    recording: str
    classes: tuple[str, ...]
    times: np.ndarray
    probabilities: np.ndarray
    codes: np.ndarray
    variance: np.ndarray | None = None

    @property
    def entropy(self) -> np.ndarray:
        """``(time,)`` nats: how undecided the model is."""
        return entropy(self.probabilities)

    def labels(self) -> Labels:
        """Return the decoded classes as labels."""
        return Labels.from_frames(self.times, self.codes, self.classes)

    def bouts(self) -> pd.DataFrame:
        """Return a row a bout.

        ``start``, ``stop`` (s), ``label``, ``individual`` (empty), and the mean ``probability`` of
        its class.
        """
        found = bouts(self.codes)
        step = float(np.median(np.diff(self.times))) if len(self.times) > 1 else 0.0
        ends = np.append(self.times, self.times[-1:] + step)
        rows = zip(found.starts, found.stops, found.codes, strict=True)
        means = [self.probabilities[a:b, k].mean() for a, b, k in rows]
        return pd.DataFrame(
            {
                "start": self.times[found.starts],
                "stop": ends[found.stops],
                "label": [self.classes[k] for k in found.codes],
                "individual": "",
                "probability": np.round(means, 4),
            }
        )

    def rates(self) -> pd.DataFrame:
        """Return a row a class.

        ``label``, ``bouts``, ``bouts_per_minute``, ``median_duration`` (s; NaN without a bout)
        and ``share`` of the frames.
        """
        fps = 1 / float(np.median(np.diff(self.times))) if len(self.times) > 1 else np.nan
        found = bout_statistics([self.codes], len(self.classes))
        return pd.DataFrame(
            {
                "label": self.classes,
                "bouts": found.counts[0],
                "bouts_per_minute": found.rates(fps)[0].round(3),
                "median_duration": found.durations(fps).round(3),
                "share": (found.frames[0] / max(len(self.codes), 1)).round(4),
            }
        )

    def frames(self) -> pd.DataFrame:
        """Return a row a frame.

        ``time`` (s), ``label``, ``entropy`` (nats), the probability of each class, and the
        ``variance of`` it between the members of an ensemble.
        """
        columns: dict[str, object] = {
            "time": self.times,
            "label": np.array(self.classes, dtype=object)[self.codes],
            "entropy": self.entropy.round(4),
        }
        columns |= {
            f"p({c})": p for c, p in zip(self.classes, self.probabilities.T.round(4), strict=True)
        }
        if self.variance is not None:
            names = [f"variance of {name}" for name in self.classes]
            columns |= dict(zip(names, self.variance.T.round(5), strict=True))
        return pd.DataFrame(columns)

    def write(self, folder: str | os.PathLike, name: str | None = None) -> Path:
        """Write ``<name>.frames.csv`` and ``<name>.bouts.csv``; return the path of the latter.

        :func:`~tinbergen.recordings.read_labels` reads the bouts.
        """
        folder = Path(folder)
        name = name or self.recording
        for ending, table in (("frames", self.frames()), ("bouts", self.bouts())):
            write_csv(folder / f"{name}.{ending}.csv", table)
        return folder / f"{name}.bouts.csv"


@dataclass(frozen=True, eq=False)
class ActionModel:
    """A segmenter with its features before it and its decoder behind it.

    Attributes
    ----------
    segmenter, decoder
        Fitted.
    config
        How features are computed, and what the labels mean.
    channels, rate
        Names of the features; frames per second.
    """

    segmenter: Segmenter
    decoder: Decoder
    config: ActionConfig
    channels: tuple[str, ...]
    rate: float

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.segmenter.classes_

    def predict(self, recording: Recording) -> Prediction:
        """Say what happens in each frame of a recording.

        Raises
        ------
        ConfigError, DataError
            If its streams do not fit, or its frame rate is another.
        """
        series = self._features(recording).series
        return self.of_features(recording.name, series.times, series.values)

    def check(self, recording: Recording) -> Recording:
        """Return the recording if the model can predict on it; raise as :meth:`predict` if not."""
        self._features(recording)
        return recording

    def _features(self, recording: Recording) -> Features:
        features = features_of(recording, self.config.features)
        check_matches(
            features, f"recording {recording.name!r}", self.channels, self.rate, "the model"
        )
        return features

    def of_features(self, name: str, times: np.ndarray, values: np.ndarray) -> Prediction:
        """Say what happens in each frame of ``(time, feature)`` values."""
        variance = None
        if isinstance(self.segmenter, FoldEnsemble):
            probabilities, variance = self.segmenter.agreement([values])[0]
        else:
            probabilities = self.segmenter.predict_proba([values])[0]
        codes = self.decoder.decode([probabilities])[0]
        calibrated = self.decoder.calibrated([probabilities])[0]
        return Prediction(name, self.classes, np.asarray(times), calibrated, codes, variance)

    def save(self, folder: str | os.PathLike) -> None:
        """Write the model into ``folder``."""
        folder = Path(folder)
        self.segmenter.save(folder / "segmenter")
        self.decoder.save(folder / "decoder")
        kind = type(self.segmenter)
        record = {
            "schema_version": SCHEMA_VERSION,
            "segmenter": [kind.__module__.rpartition(".")[2], kind.__name__],
            "config": self.config.model_dump(mode="json"),
            "channels": list(self.channels),
            "rate": self.rate,
        }
        write_json(folder / _FILE, record)

    @classmethod
    def load(cls, folder: str | os.PathLike) -> Self:
        """Read what :meth:`save` wrote.

        Raises
        ------
        MissingFileError, WeightsError
            If there is none, or it is damaged.
        """
        folder = Path(folder)
        if not (folder / _FILE).is_file():
            raise MissingFileError(
                f"Expected a model of actions in {folder}, found no {_FILE}. Is the run finished?"
            )
        try:
            record = json.loads((folder / _FILE).read_text("utf-8"))
            if record["schema_version"] != SCHEMA_VERSION:
                raise WeightsError(
                    f"{folder / _FILE} has version {record['schema_version']}, this Tinbergen "
                    f"reads {SCHEMA_VERSION}."
                )
            kind = _segmenter_kind(*record["segmenter"])
            return cls(
                kind.load(folder / "segmenter"),
                Decoder.load(folder / "decoder"),
                resolve(ActionConfig, record["config"]),
                tuple(record["channels"]),
                float(record["rate"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, WeightsError):
                raise
            raise WeightsError(f"{folder / _FILE} does not describe a model: {error!r}") from error


def _segmenter_kind(module: str, name: str) -> type[Segmenter]:
    """Return a class of this package, and nothing else."""
    from tinbergen.actions.registry import SEGMENTERS

    known = {*SEGMENTERS.values(), ("ensembles", "FoldEnsemble")}
    if (module, name) not in known:
        raise WeightsError(f"There is no segmenter {name!r} in {module!r}.")
    return getattr(importlib.import_module(f"tinbergen.actions.{module}"), name)
